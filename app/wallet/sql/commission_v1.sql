-- What agents earn: accruals, append-only, and payouts of what had accrued at one instant.
--
-- An accrual says how much of it the posting itself gave to the house account `commission`
-- (`funded_minor`); the rest the operator owes. What is said here is checked against the posting,
-- because a payout takes from `commission` by it.

-- Accrues for a posting, once an agent and posting. Raises where more would be funded than the
-- posting gave to `commission`.
CREATE FUNCTION accrue_v1(
    p_now timestamptz, p_posting bigint, p_reference text,
    p_agents uuid[], p_amounts bigint[], p_funded bigint[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO commission_accruals (
        agent_id, posting_id, reference, amount_minor, funded_minor, accrued_at)
    SELECT p_agents[i], p_posting, p_reference, p_amounts[i], p_funded[i], p_now
    FROM generate_subscripts(p_agents, 1) AS i
    WHERE p_amounts[i] <> 0;
    IF (SELECT sum(funded_minor) FROM commission_accruals WHERE posting_id = p_posting) > coalesce((
        SELECT sum(m.amount_minor) FROM moves m
        JOIN accounts a ON a.id = m.credit AND a.kind = 'commission'
        WHERE m.posting_id = p_posting), 0)
    THEN
        RAISE EXCEPTION 'accrue_v1: posting % did not give that much to commission', p_posting
        USING ERRCODE = 'check_violation';
    END IF;
END $$;

-- Takes back what a posting accrued, because `p_reversal` took the posting back.
CREATE FUNCTION unaccrue_v1(p_now timestamptz, p_posting bigint, p_reversal bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM FROM posting_keys WHERE reversed_by = p_reversal AND posting_id = p_posting;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'unaccrue_v1: % is not the reversal of %', p_reversal, p_posting
        USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO commission_accruals (
        agent_id, posting_id, reference, amount_minor, funded_minor, accrued_at)
    SELECT agent_id, p_reversal, reference, -amount_minor, -funded_minor, p_now
    FROM commission_accruals WHERE posting_id = p_posting AND amount_minor > 0
    ON CONFLICT DO NOTHING;
END $$;

-- Snapshots what an agent has accrued and was not paid, as the payout of this id; nothing when it
-- is not above zero. What accrues meanwhile waits for the next one: rows are marked, never a
-- watermark of id or time. The same id again gives the same snapshot.
CREATE FUNCTION snapshot_commission_v1(
    p_now timestamptz, p_payout uuid, p_agent uuid,
    OUT o_funded bigint, OUT o_owed bigint
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    SELECT funded_minor, owed_minor INTO o_funded, o_owed
    FROM commission_payouts WHERE id = p_payout;
    IF FOUND THEN
        RETURN;
    END IF;
    PERFORM FROM agents WHERE id = p_agent FOR NO KEY UPDATE;  -- one snapshot of an agent at a time
    WITH marked AS (
        UPDATE commission_accruals SET payout_id = p_payout
        WHERE agent_id = p_agent AND payout_id IS NULL
        RETURNING amount_minor, funded_minor
    )
    SELECT coalesce(sum(funded_minor), 0), coalesce(sum(amount_minor - funded_minor), 0)
    INTO o_funded, o_owed FROM marked;
    IF o_funded < 0 OR o_owed < 0 OR o_funded + o_owed = 0 THEN
        UPDATE commission_accruals SET payout_id = NULL WHERE payout_id = p_payout;
        o_funded := 0;
        o_owed := 0;
        RETURN;
    END IF;
    INSERT INTO commission_payouts (id, agent_id, float_id, funded_minor, owed_minor, snapshot_at)
    SELECT p_payout, id, float_id, o_funded, o_owed, p_now FROM agents WHERE id = p_agent;
END $$;

REVOKE ALL ON FUNCTION accrue_v1, unaccrue_v1, snapshot_commission_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accrue_v1, unaccrue_v1, snapshot_commission_v1 TO kibanda_app;
