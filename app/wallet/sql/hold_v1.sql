-- Sets money aside. The hold's id is its key; its limits count now and not again at capture.
--
-- Refusals, in this order: key_reused · key_expired · account_unknown · amount_not_positive ·
-- limit_<name> · insufficient_funds. Locks: key, accounts by id.
CREATE FUNCTION hold_v1(
    p_now            timestamptz,
    p_key            uuid,
    p_fingerprint    uuid,
    p_account        bigint,
    p_amount         bigint,
    p_expires_at     timestamptz,
    p_reference      text,
    p_count_accounts bigint[],
    p_count_names    text[],
    p_count_periods  date[],
    p_count_amounts  bigint[],
    p_count_caps     bigint[],
    OUT o_refusal    text,
    OUT o_replayed   boolean
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_stored  record;
    v_account record;
    v_known   bigint[];
    v_over    text;
BEGIN
    o_replayed := false;

    ---- Key -----------------------------------------------------------------------------------------

    INSERT INTO posting_keys (key, fingerprint, recorded_at)
    SELECT p_key, p_fingerprint, p_now WHERE p_key >= oldest_key_v1(p_now)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        SELECT k.fingerprint, k.refusal INTO v_stored FROM posting_keys k WHERE k.key = p_key;
        IF NOT FOUND THEN
            o_refusal := 'key_expired';
        ELSIF v_stored.fingerprint <> p_fingerprint THEN
            o_refusal := 'key_reused';
        ELSE
            o_refusal := v_stored.refusal;
            o_replayed := true;
        END IF;
        RETURN;
    END IF;

    ---- Lock and judge ------------------------------------------------------------------------------

    v_known := ARRAY(
        SELECT a.id FROM accounts a
        WHERE a.id = ANY (p_count_accounts || p_account) AND NOT a.house
        ORDER BY a.id FOR NO KEY UPDATE
    );
    SELECT a.balance, a.held, a.floor_minor INTO v_account
    FROM accounts a WHERE a.id = p_account AND NOT a.house;

    -- Two counts of one counter add up before they are compared; the first over its cap is named.
    SELECT t.name INTO v_over
    FROM (
        SELECT u.name, u.cap, u.i, u.account_id, u.period,
               sum(u.amount) OVER (PARTITION BY u.account_id, u.name, u.period ORDER BY u.i) AS so_far
        FROM unnest(p_count_accounts, p_count_names, p_count_periods, p_count_amounts, p_count_caps)
             WITH ORDINALITY AS u (account_id, name, period, amount, cap, i)
    ) AS t
    LEFT JOIN limit_counters l USING (account_id, name, period)
    WHERE coalesce(l.used, 0) + t.so_far > t.cap
    ORDER BY t.i LIMIT 1;

    o_refusal := CASE
        WHEN NOT v_known @> (p_count_accounts || p_account) THEN 'account_unknown'
        WHEN p_amount <= 0 OR 0 > ANY (p_count_amounts) THEN 'amount_not_positive'
        WHEN v_over IS NOT NULL THEN 'limit_' || v_over
        WHEN v_account.balance - v_account.held - p_amount < v_account.floor_minor
            THEN 'insufficient_funds'
    END;
    IF o_refusal IS NOT NULL THEN
        UPDATE posting_keys SET refusal = o_refusal WHERE key = p_key;
        RETURN;
    END IF;

    ---- Write ---------------------------------------------------------------------------------------

    UPDATE accounts SET held = held + p_amount WHERE id = p_account;
    INSERT INTO holds (id, account_id, amount_minor, expires_at, reference, held_at)
    VALUES (p_key, p_account, p_amount, p_expires_at, p_reference, p_now);
    IF cardinality(p_count_accounts) > 0 THEN
        WITH counted AS (
            INSERT INTO hold_counts (hold_id, account_id, name, period, amount_minor)
            SELECT p_key, u.account_id, u.name, u.period, sum(u.amount)
            FROM unnest(p_count_accounts, p_count_names, p_count_periods, p_count_amounts)
                 AS u (account_id, name, period, amount)
            GROUP BY u.account_id, u.name, u.period
            RETURNING account_id, name, period, amount_minor
        )
        INSERT INTO limit_counters AS l (account_id, name, period, used)
        SELECT account_id, name, period, amount_minor FROM counted
        ON CONFLICT (account_id, name, period) DO UPDATE SET used = l.used + excluded.used;
    END IF;
END $$;

REVOKE ALL ON FUNCTION hold_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hold_v1 TO kibanda_app;
