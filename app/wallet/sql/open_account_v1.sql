-- The account of (owner, kind, currency), made on first use. An existing one is given as it is:
-- its floor does not change here. This is the only way in for an account, so what is said once is
-- checked here: house kinds and nobody else's belong to the house, which has one of each; and a
-- floor below zero is credit, which nobody gets by opening an account.
CREATE FUNCTION open_account_v1(
    p_kind text, p_currency text, p_owner_kind text, p_owner_id uuid, p_floor_minor bigint
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_id    bigint;
    v_house boolean;
BEGIN
    SELECT id INTO v_id FROM accounts
    WHERE owner_kind = p_owner_kind AND owner_id IS NOT DISTINCT FROM p_owner_id
      AND kind = p_kind AND currency = p_currency;
    IF v_id IS NOT NULL THEN
        RETURN v_id;
    END IF;
    INSERT INTO accounts (kind, currency, owner_kind, owner_id, floor_minor)
    VALUES (p_kind, p_currency, p_owner_kind, p_owner_id, p_floor_minor)
    ON CONFLICT DO NOTHING RETURNING id, house INTO v_id, v_house;
    IF v_house <> (p_owner_kind = 'house') OR v_house <> (p_owner_id IS NULL) THEN
        RAISE EXCEPTION 'open_account_v1: % is not an account of %', p_kind, p_owner_kind
        USING ERRCODE = 'check_violation';
    ELSIF p_floor_minor < 0 THEN
        RAISE EXCEPTION 'open_account_v1: no credit for a %', p_owner_kind
        USING ERRCODE = 'check_violation';
    END IF;
    IF v_id IS NULL THEN  -- somebody else opened it meanwhile, and has committed
        SELECT id INTO STRICT v_id FROM accounts
        WHERE owner_kind = p_owner_kind AND owner_id IS NOT DISTINCT FROM p_owner_id
          AND kind = p_kind AND currency = p_currency;
    END IF;
    RETURN v_id;
END $$;

REVOKE ALL ON FUNCTION open_account_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION open_account_v1 TO kibanda_app;
