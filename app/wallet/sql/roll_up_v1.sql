-- Moves what is pending on house accounts into their snapshot, in one statement: what is deleted is
-- what is added, so no watermark can miss a row that commits late. Of several at once, each adds
-- the rows that it deleted itself.
CREATE FUNCTION roll_up_v1(p_limit int) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH taken AS (
        DELETE FROM house_pending WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM house_pending LIMIT p_limit
        ))
        RETURNING account_id, amount_minor
    ), sums AS (
        SELECT account_id, sum(amount_minor) AS amount_minor FROM taken GROUP BY account_id
    ), locked AS (  -- by id: two roll-ups never wait for each other in a circle
        SELECT id FROM accounts WHERE id IN (SELECT account_id FROM sums)
        ORDER BY id FOR NO KEY UPDATE
    ), rolled AS (
        UPDATE accounts a SET balance = a.balance + s.amount_minor
        FROM sums s JOIN locked l ON l.id = s.account_id WHERE a.id = l.id
        RETURNING a.id
    )
    SELECT count(*) FROM taken
$$;

REVOKE ALL ON FUNCTION roll_up_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION roll_up_v1 TO kibanda_app;
