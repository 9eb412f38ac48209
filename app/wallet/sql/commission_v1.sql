-- What agents earn: accruals, append-only, and payouts of what had accrued at one instant.
--
-- An accrual says how much of it the posting itself gave to the house account `commission`
-- (`funded_minor`); the rest the operator owes. What is said here is checked against the posting,
-- because a payout takes from `commission` by it: only what somebody's own money gave counts, so no
-- made-up authority turns money of the house into an agent's. Only `unaccrue_v1` takes back.

-- Accrues for a posting of this very instant (`p_now` is its time), once an agent and posting: asked
-- again for the same, nothing happens; for anything else it raises. So it does where more would be
-- funded than the posting gave to `commission`; its row is locked, so that two calls cannot each
-- find it enough.
CREATE FUNCTION accrue_v1(
    p_now timestamptz, p_posting bigint, p_reference text,
    p_agents uuid[], p_amounts bigint[], p_funded bigint[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_funded numeric;
    v_same   bigint;
BEGIN
    PERFORM FROM postings WHERE id = p_posting AND posted_at = p_now FOR NO KEY UPDATE;
    IF NOT FOUND OR 0 >= ANY (p_amounts) OR 0 > ANY (p_funded) THEN
        RAISE EXCEPTION 'accrue_v1: posting % of that time and amounts above zero are needed', p_posting
        USING ERRCODE = 'check_violation';
    END IF;
    -- reverse_v1 locks the same row: what was taken back accrues no more.
    PERFORM FROM posting_keys k
    WHERE k.key = (SELECT p.key FROM postings p WHERE p.id = p_posting AND p.posted_at = p_now)
      AND k.reversed_by IS NULL FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'accrue_v1: posting % was taken back', p_posting
        USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO commission_accruals (
        agent_id, posting_id, reference, amount_minor, funded_minor, accrued_at)
    SELECT p_agents[i], p_posting, p_reference, p_amounts[i], p_funded[i], p_now
    FROM generate_subscripts(p_agents, 1) AS i
    ON CONFLICT (agent_id, posting_id) DO NOTHING;

    SELECT sum(a.funded_minor), count(*) FILTER (
        WHERE (a.agent_id, a.amount_minor, a.funded_minor) IN (
            SELECT p_agents[i], p_amounts[i], p_funded[i] FROM generate_subscripts(p_agents, 1) AS i))
    INTO v_funded, v_same
    FROM commission_accruals a WHERE a.posting_id = p_posting;
    IF v_same <> cardinality(p_agents) THEN
        RAISE EXCEPTION 'accrue_v1: posting % accrued something else before', p_posting
        USING ERRCODE = 'unique_violation';
    END IF;
    IF v_funded > coalesce((
        SELECT sum(m.amount_minor) FROM moves m
        JOIN accounts d ON d.id = m.debit AND NOT d.house
        JOIN accounts c ON c.id = m.credit AND c.kind = 'commission'
        WHERE m.posting_id = p_posting AND m.posted_at = p_now AND c.currency = ALL (
            SELECT f.currency FROM agents g JOIN accounts f ON f.id = g.float_id
            WHERE g.id = ANY (p_agents))
    ), 0) THEN
        RAISE EXCEPTION 'accrue_v1: posting % did not give that much to commission', p_posting
        USING ERRCODE = 'check_violation';
    END IF;
END $$;

-- Takes back what a posting accrued, because `p_reversal` took the posting back; again does nothing.
CREATE FUNCTION unaccrue_v1(p_now timestamptz, p_posting bigint, p_reversal bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM FROM posting_keys k
    WHERE k.key IN (SELECT p.key FROM postings p WHERE p.id = p_posting)
      AND k.posting_id = p_posting AND k.reversed_by = p_reversal;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'unaccrue_v1: % is not the reversal of %', p_reversal, p_posting
        USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO commission_accruals (
        agent_id, posting_id, reference, amount_minor, funded_minor, accrued_at)
    SELECT agent_id, p_reversal, reference, -amount_minor, -funded_minor, p_now
    FROM commission_accruals WHERE posting_id = p_posting AND amount_minor > 0
    ON CONFLICT (agent_id, posting_id) DO NOTHING;
END $$;

-- Snapshots what an agent had accrued before `p_until` and was not paid, as the payout of this id;
-- zeros and no payout while that is not above zero. What it leaves waits for the next one: rows are
-- marked, so what is committed late is never skipped. The same id again gives the same snapshot.
--
-- One of its parts may be below zero, where a reversal took back what had been paid out already: the
-- payout then gives that part back, and only what is left of the other reaches the agent.
CREATE FUNCTION snapshot_commission_v1(
    p_now timestamptz, p_payout uuid, p_agent uuid, p_until timestamptz,
    OUT o_funded bigint, OUT o_owed bigint
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_agent  uuid;
    v_rows   bigint[];
    v_funded bigint;
    v_owed   bigint;
BEGIN
    SELECT array_agg(id), coalesce(sum(funded_minor), 0), coalesce(sum(amount_minor - funded_minor), 0)
    INTO v_rows, v_funded, v_owed
    FROM (
        SELECT id, amount_minor, funded_minor FROM commission_accruals
        WHERE agent_id = p_agent AND payout_id IS NULL AND accrued_at < p_until
        ORDER BY id FOR NO KEY UPDATE
    ) AS unpaid;
    -- Only now: who waited above for somebody else's snapshot must see the payout that it became.
    SELECT agent_id, funded_minor, owed_minor INTO v_agent, o_funded, o_owed
    FROM commission_payouts WHERE id = p_payout;
    IF v_agent <> p_agent THEN
        RAISE EXCEPTION 'snapshot_commission_v1: % is the payout of another agent', p_payout
        USING ERRCODE = 'unique_violation';
    ELSIF v_agent IS NOT NULL THEN
        RETURN;
    ELSIF v_funded + v_owed <= 0 THEN
        o_funded := 0;
        o_owed := 0;
        RETURN;
    END IF;
    o_funded := v_funded;
    o_owed := v_owed;
    UPDATE commission_accruals SET payout_id = p_payout WHERE id = ANY (v_rows);
    INSERT INTO commission_payouts (id, agent_id, float_id, funded_minor, owed_minor, snapshot_at)
    SELECT p_payout, id, float_id, o_funded, o_owed, p_now FROM agents WHERE id = p_agent
    ON CONFLICT (id) DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'snapshot_commission_v1: somebody else made this payout meanwhile'
        USING ERRCODE = 'serialization_failure';
    END IF;
END $$;

REVOKE ALL ON FUNCTION accrue_v1, unaccrue_v1, snapshot_commission_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION accrue_v1, unaccrue_v1, snapshot_commission_v1 TO kibanda_app;
