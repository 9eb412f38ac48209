-- Detaches the oldest month of postings and moves and leaves its opening balances, from which
-- verify replays. For the owner, by hand, in an hour without traffic; its keys stay, so nothing of
-- that month can be posted again. What was detached is an ordinary table, to be dumped and dropped.
CREATE FUNCTION detach_month_v1(p_month date) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_start CONSTANT timestamptz := date_trunc('month', p_month::timestamp) AT TIME ZONE 'UTC';
    v_end   CONSTANT timestamptz :=
        (date_trunc('month', p_month::timestamp) + interval '1 month') AT TIME ZONE 'UTC';
    v_suffix CONSTANT text := to_char(p_month, '_YYYY_MM');
    v_moved bigint;
BEGIN
    LOCK TABLE postings, moves IN ACCESS EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM moves WHERE posted_at < v_start) THEN
        RAISE EXCEPTION 'detach_month_v1: there are older moves than those of %', p_month;
    END IF;
    INSERT INTO opening_balances AS o (account_id, balance_minor, seq)
    SELECT s.account_id, sum(s.minor), count(s.seq)
    FROM (
        SELECT debit AS account_id, -amount_minor AS minor, debit_seq AS seq
        FROM moves WHERE posted_at < v_end
        UNION ALL
        SELECT credit, amount_minor, credit_seq FROM moves WHERE posted_at < v_end
    ) AS s
    GROUP BY s.account_id
    ON CONFLICT (account_id) DO UPDATE
    SET balance_minor = o.balance_minor + excluded.balance_minor, seq = o.seq + excluded.seq;
    GET DIAGNOSTICS v_moved = ROW_COUNT;
    INSERT INTO detached_months (month) VALUES (v_start AT TIME ZONE 'UTC');
    EXECUTE format('ALTER TABLE moves DETACH PARTITION %I', 'moves' || v_suffix);
    EXECUTE format('ALTER TABLE postings DETACH PARTITION %I', 'postings' || v_suffix);
    RETURN v_moved;
END $$;

REVOKE ALL ON FUNCTION detach_month_v1 FROM PUBLIC;
