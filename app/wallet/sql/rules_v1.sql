-- Rules that several posting functions share. Nobody but those functions may call them.

-- The smallest key that is still taken: UUIDv7 begins with its time, 48 bits of milliseconds.
CREATE FUNCTION oldest_key_v1(p_now timestamptz) RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT rpad(
        lpad(to_hex((extract(epoch FROM p_now) * 1000)::bigint - 400 * 86400000::bigint), 12, '0'),
        32, '0'
    )::uuid
$$;

-- Null when the authority allows what the moves take from the house; else 'authority_invalid'.
--
--   posting:<id>               gave at least as much to each house account that is taken from
--   bank_line:<id>             approved by two people, exactly its amount; only with it trust_bank moves
--   payment:<uuid>:late        once each, out of suspense and settlement, and only to another house
--   payment:<uuid>:returned    account: whoever can make up an authority makes no one's money with it
--   case:<uuid>
CREATE FUNCTION authority_refusal_v1(
    p_authority text, p_debits bigint[], p_credits bigint[], p_amounts bigint[]
) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    c_uuid    CONSTANT text := '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}';
    v_subject CONSTANT text := substring(p_authority FROM '^[a-z_]+:(.*)$');
    v_bank    CONSTANT boolean := p_authority LIKE 'bank\_line:%';
    v_trusted boolean;     -- touches trust_bank
    v_trust   numeric;     -- what the trust bank gained
    v_taken   numeric;     -- from all house accounts
    v_open    boolean;     -- every move from suspense or settlement to another house account
    v_valid   boolean := false;
BEGIN
    SELECT bool_or('trust_bank' IN (d.kind, c.kind)),
           coalesce(sum(CASE WHEN d.kind = 'trust_bank' THEN m.amount
                             WHEN c.kind = 'trust_bank' THEN -m.amount ELSE 0 END), 0),
           coalesce(sum(m.amount) FILTER (WHERE d.house), 0),
           bool_and(d.kind ~ '^(suspense|settlement):' AND c.house)
    INTO v_trusted, v_trust, v_taken, v_open
    FROM unnest(p_debits, p_credits, p_amounts) AS m (debit, credit, amount)
    JOIN accounts d ON d.id = m.debit
    JOIN accounts c ON c.id = m.credit;

    IF v_bank THEN
        SELECT l.checker IS NOT NULL AND l.amount_minor = v_trust
               AND v_taken IN (0, abs(l.amount_minor)) AND l.currency = (
                   SELECT a.currency FROM accounts a WHERE a.id = p_debits[1])
        INTO v_valid FROM bank_lines l WHERE l.id = v_subject;
    ELSIF v_trusted THEN
        v_valid := false;
    ELSIF p_authority ~ '^posting:[1-9][0-9]{0,17}$' THEN
        SELECT EXISTS (SELECT FROM postings p WHERE p.id = v_subject::bigint) AND NOT EXISTS (
            SELECT FROM unnest(p_debits, p_amounts) AS m (debit, amount)
            JOIN accounts a ON a.id = m.debit AND a.house
            GROUP BY m.debit
            HAVING sum(m.amount) > coalesce((
                SELECT sum(g.amount_minor) FROM moves g
                WHERE g.posting_id = v_subject::bigint AND g.credit = m.debit
            ), 0)
        ) INTO v_valid;
    ELSIF p_authority ~ ('^(payment:' || c_uuid || ':(late|returned)|case:' || c_uuid || ')$') THEN
        v_valid := v_open;
    END IF;
    RETURN CASE WHEN v_valid THEN NULL ELSE 'authority_invalid' END;
END $$;

-- Notes which posting an authority was spent on, and matches its bank line.
CREATE FUNCTION spend_authority_v1(p_authority text, p_posting bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    UPDATE authorities SET posting_id = p_posting
    WHERE authority = p_authority AND posting_id <> p_posting;
    IF p_authority LIKE 'bank\_line:%' THEN
        UPDATE bank_lines SET posting_id = p_posting
        WHERE id = substr(p_authority, length('bank_line:') + 1);
    END IF;
END $$;

-- Gives back to the counters of a hold their share of p_part in p_whole, rounded down, so that a
-- limit is never widened. The caller holds the locks of their accounts.
CREATE FUNCTION give_back_counts_v1(
    p_hold uuid, p_part bigint, p_whole bigint,
    OUT o_account bigint, OUT o_name text, OUT o_period date, OUT o_amount bigint
) RETURNS SETOF record
LANGUAGE sql SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE limit_counters l
    SET used = l.used - div(c.amount_minor::numeric * p_part, p_whole)::bigint
    FROM hold_counts c
    WHERE c.hold_id = p_hold AND p_part > 0
      AND l.account_id = c.account_id AND l.name = c.name AND l.period = c.period
    RETURNING l.account_id, l.name, l.period,
              div(c.amount_minor::numeric * p_part, p_whole)::bigint
$$;

-- Lock a hold's accounts: its own and those of its counters, by id.
CREATE FUNCTION lock_accounts_of_hold_v1(p_hold uuid, p_account bigint) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT id FROM accounts
    WHERE id = p_account OR id IN (SELECT account_id FROM hold_counts WHERE hold_id = p_hold)
    ORDER BY id FOR NO KEY UPDATE
$$;

REVOKE ALL ON FUNCTION oldest_key_v1, authority_refusal_v1, spend_authority_v1,
    give_back_counts_v1, lock_accounts_of_hold_v1 FROM PUBLIC;
