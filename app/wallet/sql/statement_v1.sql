-- A file of the trust bank's statement comes in whole or not at all: first what it says of itself,
-- then its lines, in one transaction. Files follow each other without a gap: each begins with the
-- balance that the one before ended with, and two cannot follow the same one.

-- Enters a file. Refusals, in this order:
--   statement_known     these very bytes came in before
--   statement_gap       it does not begin where the last one ended, which is o_expected
--
-- What the first file begins with is compared with what trust_bank holds by lines entered by hand:
-- those are not in any file. A difference becomes a line of its own, 'opening-<currency>', which two
-- people must account for as for any other.
CREATE OR REPLACE FUNCTION open_statement_v1(
    p_now           timestamptz,
    p_id            uuid,
    p_sha256        bytea,
    p_file_name     text,
    p_currency      text,
    p_opening_minor bigint,
    p_closing_minor bigint,
    p_lines         int,
    p_first_on      date,
    p_opening_key   uuid,
    p_maker         text,
    OUT o_refusal   text,
    OUT o_expected  bigint
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_last    record;
    v_covered bigint;
    v_line    CONSTANT text := 'opening-' || p_currency;
BEGIN
    -- Both by one look: between two, the same file may come in by somebody else, and would be a gap.
    SELECT s.id, s.closing_minor,
           EXISTS (SELECT FROM bank_statements k WHERE k.sha256 = p_sha256) AS known
    INTO v_last
    FROM (SELECT) AS one_row
    LEFT JOIN bank_statements s
        ON s.currency = p_currency
        AND NOT EXISTS (SELECT FROM bank_statements n WHERE n.previous_id = s.id);
    IF v_last.known THEN
        o_refusal := 'statement_known';
        RETURN;
    END IF;
    IF v_last.id IS NOT NULL AND v_last.closing_minor <> p_opening_minor THEN
        o_refusal := 'statement_gap';
        o_expected := v_last.closing_minor;
        RETURN;
    ELSIF v_last.id IS NULL THEN
        -- Also those that nobody has matched yet: they are in what the file begins with.
        SELECT coalesce(sum(l.amount_minor), 0) INTO v_covered FROM bank_lines l
        WHERE l.currency = p_currency;
    END IF;
    INSERT INTO bank_statements (
        id, sha256, file_name, currency, previous_id, opening_minor, closing_minor, covered_minor,
        lines, maker, imported_at)
    VALUES (p_id, p_sha256, p_file_name, p_currency, v_last.id, p_opening_minor, p_closing_minor,
            v_covered, p_lines, p_maker, p_now)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'open_statement_v1: somebody else imports now'
        USING ERRCODE = 'serialization_failure';
    END IF;
    IF v_covered <> p_opening_minor THEN
        INSERT INTO bank_lines (id, key, amount_minor, currency, booked_on, maker)
        VALUES (v_line, p_opening_key, p_opening_minor - v_covered, p_currency, p_first_on, p_maker);
        INSERT INTO statement_lines (line_id, statement_id, position, reference, text, balance_minor)
        VALUES (v_line, p_id, 0, '', 'what the first statement begins with', p_opening_minor);
    END IF;
END $$;

-- Enters the next lines of a file. Nothing is refused by itself: o_line is the first that cannot
-- come in, and the caller then undoes the whole file. Why:
--   line_known      it came with a file before, or the first file's opening balance stands for it
--   line_differs    it is there with another amount, currency or day
-- A line that was entered by hand after the first file becomes a line of this one.
CREATE OR REPLACE FUNCTION add_statement_lines_v1(
    p_statement  uuid,
    p_positions  int[],
    p_ids        text[],
    p_keys       uuid[],
    p_amounts    bigint[],
    p_booked_on  date[],
    p_references text[],
    p_texts      text[],
    p_balances   bigint[],
    OUT o_line    text,
    OUT o_refusal text
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_statement record;
    v_first_at  timestamptz;
BEGIN
    SELECT currency, maker INTO STRICT v_statement FROM bank_statements WHERE id = p_statement;
    SELECT imported_at INTO v_first_at FROM bank_statements
    WHERE currency = v_statement.currency AND previous_id IS NULL;

    SELECT l.id, CASE
               WHEN (l.amount_minor, l.currency::text, l.booked_on)
                    <> (p_amounts[i], v_statement.currency::text, p_booked_on[i]) THEN 'line_differs'
               ELSE 'line_known'
           END
    INTO o_line, o_refusal
    FROM generate_subscripts(p_ids, 1) AS i
    JOIN bank_lines l ON l.id = p_ids[i]
    LEFT JOIN statement_lines s ON s.line_id = l.id
    WHERE s.line_id IS NOT NULL OR l.recorded_at < v_first_at
       OR (l.amount_minor, l.currency::text, l.booked_on)
          <> (p_amounts[i], v_statement.currency::text, p_booked_on[i])
    ORDER BY i LIMIT 1;
    IF FOUND THEN
        RETURN;
    END IF;

    INSERT INTO bank_lines (id, key, amount_minor, currency, booked_on, maker)
    SELECT p_ids[i], p_keys[i], p_amounts[i], v_statement.currency, p_booked_on[i], v_statement.maker
    FROM generate_subscripts(p_ids, 1) AS i
    ON CONFLICT DO NOTHING;
    INSERT INTO statement_lines (line_id, statement_id, position, reference, text, balance_minor)
    SELECT p_ids[i], p_statement, p_positions[i], p_references[i], p_texts[i], p_balances[i]
    FROM generate_subscripts(p_ids, 1) AS i;
END $$;

REVOKE ALL ON FUNCTION open_statement_v1, add_statement_lines_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION open_statement_v1, add_statement_lines_v1 TO kibanda_app;
