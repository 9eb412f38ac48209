-- What a payer gets back when a biller took a sale back: all that the capture took, turned round; the
-- amount comes out of the suspense account that it waits in, the fee from where its parts went.
--
-- A case alone gives nobody money of the house: only what `refund_v1` has written into `refunds` lets
-- it (`rules_v4`), and that is one capture of the payer's own money, once.

-- The moves of a refund, last move of the capture first. Null where the two postings are not a capture
-- and the one move that put its amount into suspense.
CREATE FUNCTION refund_moves_v1(
    p_capture bigint, p_returned bigint,
    OUT o_debits bigint[], OUT o_credits bigint[], OUT o_amounts bigint[]
)
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT array_agg(CASE WHEN m.credit = r.debit THEN r.credit ELSE m.credit END ORDER BY m.line DESC),
           array_agg(m.debit ORDER BY m.line DESC),
           array_agg(m.amount_minor::bigint ORDER BY m.line DESC)
    FROM moves m
    CROSS JOIN (
        SELECT min(t.debit) AS debit, min(t.credit) AS credit, min(t.amount_minor) AS amount_minor
        FROM moves t WHERE t.posting_id = p_returned HAVING count(*) = 1
    ) AS r
    JOIN accounts s ON s.id = r.credit AND s.kind = 'suspense:returned'
    WHERE m.posting_id = p_capture
    HAVING bool_or(m.credit = r.debit AND m.amount_minor = r.amount_minor)
$$;

-- Refunds the capture of a hold, of which `p_returned` ('payment:<uuid>:returned') says that its biller
-- took the sale back. Once for each capture; asked again by the same case, it answers the same posting.
-- What does not fit raises: whoever calls has looked before, with the payment locked.
-- Locks: the capture's key row (so two refunds of it, or a reversal, take turns), key, accounts by id.
CREATE FUNCTION refund_v1(
    p_now         timestamptz,
    p_key         uuid,
    p_fingerprint uuid,
    p_case        uuid,
    p_hold        uuid,
    p_returned    text,
    OUT o_posting  bigint,
    OUT o_capture  bigint,
    OUT o_replayed boolean
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_capture  record;
    v_returned bigint;
    v_moves    record;
    v_answer   record;
BEGIN
    SELECT p.id, p.key, p.reference INTO v_capture
    FROM holds h JOIN postings p ON p.id = h.posting_id AND p.hold_id = h.id WHERE h.id = p_hold;
    o_capture := v_capture.id;
    PERFORM FROM posting_keys k WHERE k.key = v_capture.key FOR NO KEY UPDATE;

    SELECT r.posting_id INTO o_posting FROM refunds r
    WHERE r.capture_id = o_capture AND r.case_id = p_case;
    o_replayed := FOUND;
    IF o_replayed THEN
        RETURN;
    END IF;

    SELECT p.id INTO v_returned
    FROM authorities g JOIN postings p ON p.id = g.posting_id AND p.authority = g.authority
    WHERE g.authority = p_returned AND p_returned ~ '^payment:[0-9a-f-]{36}:returned$'
      AND p.reference = v_capture.reference;
    SELECT * INTO v_moves FROM refund_moves_v1(o_capture, v_returned);
    IF v_moves.o_debits IS NULL THEN
        RAISE EXCEPTION 'refund_v1: hold % was not captured by a sale that % took back',
            p_hold, p_returned
        USING ERRCODE = 'check_violation';
    ELSIF EXISTS (SELECT FROM authorities g WHERE g.authority = 'posting:' || o_capture) THEN
        RAISE EXCEPTION 'refund_v1: posting % was given back before', o_capture
        USING ERRCODE = 'unique_violation';
    END IF;

    INSERT INTO refunds (case_id, capture_id, returned_id, refunded_at)
    VALUES (p_case, o_capture, v_returned, p_now);
    SELECT * INTO v_answer FROM post_v1(
        p_now, ARRAY[p_key], ARRAY[p_fingerprint], ARRAY['bill_payment_refund'],
        ARRAY[v_capture.reference], ARRAY['case:' || p_case], NULL,
        ARRAY[cardinality(v_moves.o_debits)], v_moves.o_debits, v_moves.o_credits, v_moves.o_amounts,
        NULL, NULL, NULL, NULL, NULL, NULL
    );
    o_posting := v_answer.o_postings[1];
    IF v_answer.o_refusals[1] IS NOT NULL OR v_answer.o_replayed[1] THEN
        RAISE EXCEPTION 'refund_v1: posting % is not given back by %: %',
            o_capture, p_case, coalesce(v_answer.o_refusals[1], 'key_reused')
        USING ERRCODE = 'check_violation';
    END IF;
    -- From now on nobody reverses it either, and its commission can be taken back.
    INSERT INTO authorities (authority, posting_id, recorded_at)
    VALUES ('posting:' || o_capture, o_posting, p_now);
    UPDATE refunds SET posting_id = o_posting WHERE capture_id = o_capture;
    UPDATE posting_keys SET reversed_by = o_posting WHERE key = v_capture.key;
END $$;

REVOKE ALL ON FUNCTION refund_moves_v1, refund_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION refund_v1 TO kibanda_app;
