-- Takes a posting back: of each move what the payee still has available, from a house account all
-- of it. One posting, once for each original: the authority 'posting:<original>' is unique, and the
-- link on the original's key makes every retry of the original hear 'reversed'.
--
-- Refusals: key_reused · key_expired · posting_unknown · not_reversible (a reversal, or money that
-- came in or went out through the trust bank: that is a bank line) · authority_used (taken back
-- before) · insufficient_funds (nothing is left to give back).
-- Locks: key, the original's key row, accounts by id.
CREATE FUNCTION reverse_v1(
    p_now         timestamptz,
    p_key         uuid,
    p_fingerprint uuid,
    p_original    bigint,
    p_reference   text,
    OUT o_posting  bigint,
    OUT o_refusal  text,
    OUT o_replayed boolean,
    OUT o_amount   bigint
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_stored   record;
    v_original record;
    v_move     record;
    v_left     bigint[];
    v_ids      bigint[];
    v_debits   bigint[] := '{}';
    v_credits  bigint[] := '{}';
    v_amounts  bigint[] := '{}';
    v_give     bigint;
    v_at       int;
    v_answer   record;
BEGIN
    ---- A stored answer -----------------------------------------------------------------------------

    o_replayed := false;
    SELECT k.* INTO v_stored FROM posting_keys k WHERE k.key = p_key;
    IF FOUND THEN
        IF v_stored.fingerprint <> p_fingerprint THEN
            o_refusal := 'key_reused';
        ELSE
            o_posting := v_stored.posting_id;
            o_refusal := v_stored.refusal;
            o_amount := v_stored.amount_minor;
            o_replayed := true;
        END IF;
        RETURN;
    END IF;

    ---- What can be given back ----------------------------------------------------------------------

    SELECT p.key, p.posted_at, p.reverses INTO v_original FROM postings p WHERE p.id = p_original;
    -- Whoever reverses the same posting waits here, and then finds the authority used.
    PERFORM FROM posting_keys k WHERE k.key = v_original.key FOR NO KEY UPDATE;
    v_ids := ARRAY(
        SELECT a.id FROM accounts a
        WHERE NOT a.house AND a.id IN (
            SELECT unnest(ARRAY[m.debit, m.credit]) FROM moves m
            WHERE m.posting_id = p_original AND m.posted_at = v_original.posted_at)
        ORDER BY a.id FOR NO KEY UPDATE
    );
    SELECT array_agg(a.balance - a.held - a.floor_minor ORDER BY a.id) INTO v_left
    FROM accounts a WHERE a.id = ANY (v_ids);
    o_amount := 0;
    FOR v_move IN
        SELECT m.debit, m.credit, m.amount_minor,
               'trust_bank' IN (d.kind, c.kind) AS trust
        FROM moves m JOIN accounts d ON d.id = m.debit JOIN accounts c ON c.id = m.credit
        WHERE m.posting_id = p_original AND m.posted_at = v_original.posted_at
        ORDER BY m.line DESC
    LOOP
        IF v_move.trust THEN
            o_refusal := 'not_reversible';
        END IF;
        v_at := array_position(v_ids, v_move.credit);
        v_give := CASE WHEN v_at IS NULL THEN v_move.amount_minor
                  ELSE greatest(0, least(v_move.amount_minor, v_left[v_at])) END;
        CONTINUE WHEN v_give = 0;
        IF v_at IS NOT NULL THEN
            v_left[v_at] := v_left[v_at] - v_give;
        END IF;
        v_at := array_position(v_ids, v_move.debit);
        IF v_at IS NOT NULL THEN
            v_left[v_at] := v_left[v_at] + v_give;
        END IF;
        v_debits := v_debits || v_move.credit;
        v_credits := v_credits || v_move.debit;
        v_amounts := v_amounts || v_give;
        o_amount := o_amount + v_give;
    END LOOP;

END $$;

REVOKE ALL ON FUNCTION reverse_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION reverse_v1 TO kibanda_app;
