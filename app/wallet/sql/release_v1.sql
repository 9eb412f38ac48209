-- The ends of a hold that move no money. Each locks the hold, acts on `held` only, and gives back
-- to exactly the counters that the hold raised. Locks: holds by id, accounts by id.

-- The common end; false when the hold is not `held` any more. Not for callers.
CREATE FUNCTION end_hold_v1(p_hold uuid, p_state text, p_reason text, p_now timestamptz)
RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_hold record;
BEGIN
    UPDATE holds SET state = p_state, reason = p_reason, expires_at = NULL, closed_at = p_now
    WHERE id = p_hold AND state = 'held'
    RETURNING account_id, amount_minor INTO v_hold;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM lock_accounts_of_hold_v1(p_hold, v_hold.account_id);
    UPDATE accounts SET held = held - v_hold.amount_minor WHERE id = v_hold.account_id;
    PERFORM give_back_counts_v1(p_hold, v_hold.amount_minor, v_hold.amount_minor);
    RETURN true;
END $$;

CREATE FUNCTION release_v1(p_hold uuid, p_reason text, p_now timestamptz) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT end_hold_v1(p_hold, 'released', p_reason, p_now)
$$;

-- Ends what is due. A hold that somebody else has locked is left to him; p_limit bounds the locks.
CREATE FUNCTION expire_v1(p_now timestamptz, p_limit int) RETURNS uuid[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_due  uuid[];
    v_hold uuid;
BEGIN
    v_due := ARRAY(
        SELECT id FROM (
            SELECT id FROM holds WHERE state = 'held' AND expires_at <= p_now
            ORDER BY expires_at LIMIT p_limit FOR UPDATE SKIP LOCKED
        ) AS due ORDER BY id
    );
    -- All accounts at once and by id: ending the holds one by one would lock in their order.
    PERFORM id FROM accounts
    WHERE id IN (SELECT account_id FROM holds WHERE id = ANY (v_due)
                 UNION SELECT account_id FROM hold_counts WHERE hold_id = ANY (v_due))
    ORDER BY id FOR NO KEY UPDATE;
    FOREACH v_hold IN ARRAY v_due LOOP
        PERFORM end_hold_v1(v_hold, 'expired', NULL, p_now);
    END LOOP;
    RETURN v_due;
END $$;

-- What was sent to the outside must not expire: from now on only an answer ends this hold.
CREATE FUNCTION clear_expiry_v1(p_hold uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE holds SET expires_at = NULL WHERE id = p_hold AND state = 'held';
    RETURN FOUND;
END $$;

REVOKE ALL ON FUNCTION end_hold_v1, release_v1, expire_v1, clear_expiry_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION release_v1, expire_v1, clear_expiry_v1 TO kibanda_app;
