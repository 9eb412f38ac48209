-- Issues money to an account: only against a bank line that maker and checker agreed on, and all of
-- it. The key is the line's own, so importing or clicking twice issues once.
CREATE FUNCTION deposit_v1(
    p_now         timestamptz,
    p_line        text,
    p_account     bigint,
    p_fingerprint uuid,
    OUT o_key      uuid,
    OUT o_posting  bigint,
    OUT o_refusal  text,
    OUT o_replayed boolean
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_line   record;
    v_trust  bigint;
    v_answer record;
BEGIN
    SELECT key, amount_minor, currency, checker INTO v_line FROM bank_lines WHERE id = p_line;
    IF NOT FOUND OR v_line.checker IS NULL OR v_line.amount_minor <= 0 THEN
        -- Not stored: the checker may come later.
        o_key := v_line.key;
        o_refusal := 'authority_invalid';
        o_replayed := false;
        RETURN;
    END IF;
    v_trust := open_account_v1('trust_bank', v_line.currency, 'house', NULL, 0);
    SELECT * INTO v_answer FROM post_v1(
        p_now, ARRAY[v_line.key], ARRAY[p_fingerprint], ARRAY['deposit'], ARRAY[p_line],
        ARRAY['bank_line:' || p_line], NULL,
        ARRAY[1], ARRAY[v_trust], ARRAY[p_account], ARRAY[v_line.amount_minor],
        NULL, NULL, NULL, NULL, NULL, NULL
    );
    o_key := v_line.key;
    o_posting := v_answer.o_postings[1];
    o_refusal := v_answer.o_refusals[1];
    o_replayed := v_answer.o_replayed[1];
END $$;

REVOKE ALL ON FUNCTION deposit_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION deposit_v1 TO kibanda_app;
