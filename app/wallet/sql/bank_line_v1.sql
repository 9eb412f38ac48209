-- The bank's statement comes in through one pair of eyes and is approved by another.

-- True when the line is new; false when it is there already with the same content.
CREATE FUNCTION record_bank_line_v1(
    p_id text, p_key uuid, p_amount_minor bigint, p_currency text, p_booked_on date, p_maker text
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    INSERT INTO bank_lines (id, key, amount_minor, currency, booked_on, maker)
    VALUES (p_id, p_key, p_amount_minor, p_currency, p_booked_on, p_maker)
    ON CONFLICT DO NOTHING;
    IF FOUND THEN
        RETURN true;
    END IF;
    PERFORM FROM bank_lines
    WHERE id = p_id AND amount_minor = p_amount_minor AND currency = p_currency
      AND booked_on = p_booked_on;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'bank line % is recorded with other content', p_id
        USING ERRCODE = 'unique_violation';
    END IF;
    RETURN false;
END $$;

-- False when it was approved before or does not exist. Maker <> checker is the table's constraint.
CREATE FUNCTION approve_bank_line_v1(p_id text, p_checker text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE bank_lines SET checker = p_checker WHERE id = p_id AND checker IS NULL;
    RETURN FOUND;
END $$;

REVOKE ALL ON FUNCTION record_bank_line_v1, approve_bank_line_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION record_bank_line_v1, approve_bank_line_v1 TO kibanda_app;
