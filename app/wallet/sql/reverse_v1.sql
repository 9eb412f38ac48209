-- Takes a posting back: of each move what the payee still has available, from a house account all
-- of it. One posting, once for each original: the authority 'posting:<original>' is unique, and the
-- link on the original's key makes every retry of the original hear 'reversed'.
--
-- Refusals, in this order:
--   key_reused · key_expired
--   posting_unknown
--   not_reversible      a reversal, or money that came or went through the trust bank
--   authority_used      taken back before
--   insufficient_funds  nothing is left to give back
-- Locks: the original's key row (so two reversals of it take turns), key, accounts by id.
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
    v_original record;
    v_stored   record;
    v_move     record;
    v_answer   record;
    a_ids      bigint[];
    a_left     bigint[];
    m_debits   bigint[] := '{}';
    m_credits  bigint[] := '{}';
    m_amounts  bigint[] := '{}';
    v_give     bigint;
    v_payee    int;
    v_payer    int;
BEGIN
    SELECT p.id, p.key, p.kind, p.authority INTO v_original FROM postings p WHERE p.id = p_original;
    PERFORM FROM posting_keys k WHERE k.key = v_original.key FOR NO KEY UPDATE;

    ---- Key -----------------------------------------------------------------------------------------

    SELECT k.* INTO v_stored FROM posting_keys k WHERE k.key = p_key;
    o_replayed := FOUND AND v_stored.fingerprint = p_fingerprint;
    IF o_replayed THEN
        o_posting := v_stored.posting_id;
        o_refusal := v_stored.refusal;
        o_amount := v_stored.amount_minor;
        RETURN;
    ELSIF FOUND THEN
        o_refusal := 'key_reused';
        RETURN;
    ELSIF p_key < oldest_key_v1(p_now) THEN
        o_refusal := 'key_expired';
        RETURN;
    END IF;

    ---- What can be given back ----------------------------------------------------------------------

    a_ids := ARRAY(
        SELECT a.id FROM accounts a
        WHERE NOT a.house AND a.id IN (
            SELECT unnest(ARRAY[m.debit, m.credit]) FROM moves m WHERE m.posting_id = p_original)
        ORDER BY a.id FOR NO KEY UPDATE
    );
    a_left := ARRAY(
        SELECT a.balance - a.held - a.floor_minor FROM accounts a
        WHERE a.id = ANY (a_ids) ORDER BY a.id
    );
    FOR v_move IN
        SELECT m.debit, m.credit, m.amount_minor FROM moves m
        WHERE m.posting_id = p_original ORDER BY m.line DESC
    LOOP
        v_payee := array_position(a_ids, v_move.credit);
        v_payer := array_position(a_ids, v_move.debit);
        v_give := v_move.amount_minor;
        IF v_payee IS NOT NULL THEN
            v_give := greatest(0, least(v_give, a_left[v_payee]));
            a_left[v_payee] := a_left[v_payee] - v_give;
        END IF;
        IF v_payer IS NOT NULL THEN
            a_left[v_payer] := a_left[v_payer] + v_give;
        END IF;
        IF v_give > 0 THEN
            m_debits := m_debits || v_move.credit;
            m_credits := m_credits || v_move.debit;
            m_amounts := m_amounts || v_give;
        END IF;
    END LOOP;
    o_refusal := CASE
        WHEN v_original.id IS NULL THEN 'posting_unknown'
        WHEN v_original.kind = 'reversal' OR v_original.authority LIKE 'bank\_line:%'
            THEN 'not_reversible'
        WHEN EXISTS (SELECT FROM authorities g WHERE g.authority = 'posting:' || p_original)
            THEN 'authority_used'
        WHEN m_amounts = '{}' THEN 'insufficient_funds'
    END;
    IF o_refusal IS NOT NULL THEN
        INSERT INTO posting_keys (key, fingerprint, refusal, recorded_at)
        VALUES (p_key, p_fingerprint, o_refusal, p_now) ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'reverse_v1: somebody else uses this key now'
            USING ERRCODE = 'serialization_failure';
        END IF;
        RETURN;
    END IF;

    ---- Post, and link ------------------------------------------------------------------------------

    SELECT * INTO v_answer FROM post_v1(
        p_now, ARRAY[p_key], ARRAY[p_fingerprint], ARRAY['reversal'], ARRAY[p_reference],
        ARRAY['posting:' || p_original], NULL,
        ARRAY[cardinality(m_debits)], m_debits, m_credits, m_amounts,
        NULL, NULL, NULL, NULL, NULL, NULL
    );
    o_posting := v_answer.o_postings[1];
    o_refusal := v_answer.o_refusals[1];
    o_replayed := v_answer.o_replayed[1];
    IF o_refusal IS NULL AND NOT o_replayed THEN
        SELECT sum(t) INTO o_amount FROM unnest(m_amounts) AS t;
        UPDATE posting_keys SET amount_minor = o_amount WHERE key = p_key;
        UPDATE posting_keys SET reversed_by = o_posting WHERE key = v_original.key;
    END IF;
END $$;

REVOKE ALL ON FUNCTION reverse_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION reverse_v1 TO kibanda_app;
