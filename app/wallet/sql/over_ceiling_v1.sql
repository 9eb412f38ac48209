-- The first of these accounts that would hold more than its ceiling after so much comes in; null
-- when none would. It locks all accounts of the posting to come, by id as everybody does, so that
-- what it saw still holds when post_v1 posts in the same transaction. House accounts are not locked.
CREATE FUNCTION over_ceiling_v1(
    p_accounts bigint[], p_into bigint[], p_amounts bigint[], p_ceilings bigint[]
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM FROM accounts WHERE id = ANY (p_accounts || p_into) AND NOT house
    ORDER BY id FOR NO KEY UPDATE;
    RETURN (
        SELECT a.id FROM generate_subscripts(p_into, 1) AS i
        JOIN accounts a ON a.id = p_into[i]
        WHERE a.balance + p_amounts[i] > p_ceilings[i]
        ORDER BY i LIMIT 1
    );
END $$;

REVOKE ALL ON FUNCTION over_ceiling_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION over_ceiling_v1 TO kibanda_app;
