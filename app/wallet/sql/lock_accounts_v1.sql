-- Locks accounts by id, as everybody does, ahead of several calls that would each lock their own:
-- what is read of them then stays so until the transaction ends. House accounts are not locked.
CREATE FUNCTION lock_accounts_v1(p_accounts bigint[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM FROM accounts WHERE id = ANY (p_accounts) AND NOT house
    ORDER BY id FOR NO KEY UPDATE;
END $$;

REVOKE ALL ON FUNCTION lock_accounts_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION lock_accounts_v1 TO kibanda_app;
