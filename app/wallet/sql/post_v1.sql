-- Posts 1 ... N postings of any number of moves: one call, one round trip.
--
-- 1. Each posting is accepted or refused by itself. There are no savepoints: everything is judged
--    on arrays in memory, one posting after the other, then written set-wise.
-- 2. Locks are taken in one order by everybody: keys sorted, holds by id, accounts by id. House
--    accounts are never locked.
-- 3. A key is answered once; asked again with the same fingerprint it hears the same answer, a
--    refusal too.
-- 4. The refusals are a ladder; the first that fits is the answer:
--      key_reused · key_expired · reversed
--      account_unknown · currency_mixed · same_account · amount_not_positive
--      authority_required · authority_used · authority_invalid
--      hold_not_held · hold_wrong_account · hold_too_small
--      limit_<name> · insufficient_funds
--
-- The moves and counts of all postings stand one after the other; p_move_ends[i] and
-- p_count_ends[i] say where those of posting i end. What no posting has (authorities, holds, counts)
-- is null instead of an array.
--
-- Names: p_ argument, o_ answer, v_ variable; k_ keys, h_ holds, a_ accounts, c_ counters, g_ the
-- authorities, r_ refused and m_ moves are arrays by position. Sets are made with generate_series
-- and subscripts: unnest of nine arrays makes nine tuple stores. A statement that few postings need
-- stands behind a condition, because even an empty one costs as much as a transfer's share of it.
CREATE FUNCTION post_v1(
    p_now            timestamptz,
    p_keys           uuid[],
    p_fingerprints   uuid[],
    p_kinds          text[],
    p_references     text[],
    p_authorities    text[],
    p_holds          uuid[],
    p_move_ends      int[],
    p_debits         bigint[],
    p_credits        bigint[],
    p_amounts        bigint[],
    p_count_ends     int[],
    p_count_accounts bigint[],
    p_count_names    text[],
    p_count_periods  date[],
    p_count_amounts  bigint[],
    p_count_caps     bigint[],
    OUT o_postings   bigint[],
    OUT o_refusals   text[],
    OUT o_replayed   boolean[]
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
-- The planner cannot know how long the arrays are, and would plan anew at every call.
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    v_n      CONSTANT int := cardinality(p_keys);
    v_moves  CONSTANT int := cardinality(p_debits);
    v_counts CONSTANT int := coalesce(cardinality(p_count_accounts), 0);

    k_new      uuid[];     -- keys that this call took, and the posting ids given to them
    k_ids      bigint[];
    k_twins    int[];      -- same key earlier in this call
    v_new      int := 0;
    v_stored   record;
    v_posting  bigint;

    h_ids      uuid[];
    h_accounts bigint[];
    h_amounts  bigint[];
    h_open     boolean[];
    h_captured bigint[];
    h_postings bigint[];   -- the posting of this call that captured it
    v_hold     int;

    a_wanted   bigint[] := p_debits || p_credits;
    a_ids      bigint[];   -- those with a floor and locked, then those of the house
    a_floors   int;        -- how many have a floor
    a_balance  bigint[];
    a_left     bigint[];   -- available: balance - held - floor
    a_seq      bigint[];
    a_freed    bigint[];   -- held money that captures of this call gave up
    a_added    bigint[];   -- what this call adds to a house account
    a_currency text[];
    v_trusts   bigint[];   -- trust_bank, one a currency

    c_names    text[];     -- a counter's identity as text
    c_slots    int[];      -- the first count of the same counter; c_used stands there
    c_used     bigint[];
    c_added    bigint[];

    g_taken    text[];     -- authorities that this call took, and those that a posting used
    g_spent    text[];

    m_debit    int[];      -- positions in a_
    m_credit   int[];
    m_postings bigint[];   -- null: not to be written
    m_lines    int[];
    m_debit_seq      bigint[];
    m_debit_balance  bigint[];
    m_credit_seq     bigint[];
    m_credit_balance bigint[];

    r_at       int[];      -- the postings refused

    v_move     int := 0;   -- last move and count of the posting before
    v_count    int := 0;
    v_rank     int;
    v_refusal  text;
    v_gate     boolean;
    v_sum      bigint;
    v_at       int;
    v_done     int;
    v_counted  int;
    d          int;
    c          int;
    v_row      record;
BEGIN
    IF v_n NOT BETWEEN 1 AND 1000 OR v_moves > 10000 OR v_counts > 10000
        OR cardinality(p_move_ends) <> v_n OR p_move_ends[v_n] <> v_moves
        OR (v_counts > 0 AND (cardinality(p_count_ends) <> v_n OR p_count_ends[v_n] <> v_counts))
    THEN
        RAISE EXCEPTION 'post_v1: arrays do not fit together' USING ERRCODE = '22023';
    END IF;
    o_postings := array_fill(NULL::bigint, ARRAY[v_n]);
    o_refusals := array_fill(NULL::text, ARRAY[v_n]);
    o_replayed := array_fill(false, ARRAY[v_n]);

    ---- Keys: take the new ones, answer the others -------------------------------------------------

    IF v_n = 1 THEN
        INSERT INTO posting_keys (key, fingerprint, posting_id, recorded_at)
        SELECT p_keys[1], p_fingerprints[1], nextval('posting_ids'), p_now
        WHERE p_keys[1] >= oldest_key_v1(p_now)
        ON CONFLICT DO NOTHING
        RETURNING posting_id INTO v_posting;
        IF FOUND THEN
            o_postings[1] := v_posting;
            v_new := 1;
        END IF;
    ELSE
        WITH taken AS (
            INSERT INTO posting_keys (key, fingerprint, posting_id, recorded_at)
            SELECT t.key, p_fingerprints[t.i], nextval('posting_ids'), p_now
            FROM (
                SELECT p_keys[i] AS key, i FROM generate_series(1, v_n) AS i
                WHERE p_keys[i] >= oldest_key_v1(p_now)
                ORDER BY 1, 2
            ) AS t
            ON CONFLICT DO NOTHING
            RETURNING key, posting_id
        )
        SELECT array_agg(key), array_agg(posting_id) INTO k_new, k_ids FROM taken;
        FOR i IN 1 .. v_n LOOP
            v_at := array_position(k_new, p_keys[i]);
            IF v_at IS NOT NULL THEN
                o_postings[i] := k_ids[v_at];
                k_new[v_at] := NULL;  -- a second one of the same key is a replay of this
                v_new := v_new + 1;
            END IF;
        END LOOP;
    END IF;

    IF v_new < v_n THEN
        FOR i IN 1 .. v_n LOOP
            CONTINUE WHEN o_postings[i] IS NOT NULL;
            v_at := array_position(p_keys, p_keys[i]);
            IF v_at < i AND NOT o_replayed[v_at] AND o_refusals[v_at] IS NULL THEN
                IF p_fingerprints[v_at] = p_fingerprints[i] THEN
                    k_twins[i] := v_at;
                    o_replayed[i] := true;
                ELSE
                    o_refusals[i] := 'key_reused';
                END IF;
                CONTINUE;
            END IF;
            SELECT k.fingerprint, k.posting_id, k.refusal, k.reversed_by INTO v_stored
            FROM posting_keys k WHERE k.key = p_keys[i];
            IF NOT FOUND THEN
                o_refusals[i] := 'key_expired';
            ELSIF v_stored.fingerprint <> p_fingerprints[i] THEN
                o_refusals[i] := 'key_reused';
            ELSE
                o_postings[i] := v_stored.posting_id;
                o_refusals[i] := CASE WHEN v_stored.reversed_by IS NOT NULL THEN 'reversed'
                                 ELSE v_stored.refusal END;
                o_replayed[i] := true;
            END IF;
        END LOOP;
        IF v_new = 0 THEN
            RETURN;
        END IF;
    END IF;

    ---- Locks: holds by id, accounts by id ---------------------------------------------------------

    IF v_counts > 0 THEN
        a_wanted := a_wanted || p_count_accounts;
    END IF;
    IF p_holds IS NOT NULL THEN
        SELECT array_agg(h.id), array_agg(h.account_id), array_agg(h.amount_minor),
               array_agg(h.state = 'held')
        INTO h_ids, h_accounts, h_amounts, h_open
        FROM (SELECT * FROM holds WHERE id = ANY (p_holds) ORDER BY id FOR UPDATE) AS h;
        a_wanted := a_wanted || h_accounts
            || ARRAY(SELECT account_id FROM hold_counts WHERE hold_id = ANY (h_ids));
    END IF;

    SELECT array_agg(a.id), array_agg(a.balance), array_agg(a.available), array_agg(a.seq),
           array_agg(a.currency), count(*)
    INTO a_ids, a_balance, a_left, a_seq, a_currency, a_floors
    FROM (
        SELECT id, balance, balance - held - floor_minor AS available, seq, currency::text
        FROM accounts WHERE id = ANY (a_wanted) AND NOT house
        ORDER BY id FOR NO KEY UPDATE
    ) AS a;
    IF a_ids IS NULL OR NOT a_wanted <@ a_ids THEN
        SELECT a_ids || array_agg(id), a_currency || array_agg(currency::text),
               array_agg(id) FILTER (WHERE kind = 'trust_bank')
        INTO a_ids, a_currency, v_trusts
        FROM accounts WHERE id = ANY (a_wanted) AND house;
    END IF;

    -- The counters are quiet now: whoever changes one holds the lock of its account.
    FOR j IN 1 .. v_counts LOOP
        c_names[j] := concat_ws(' ', p_count_accounts[j], p_count_periods[j], p_count_names[j]);
        c_slots[j] := array_position(c_names, c_names[j]);
        c_added[j] := 0;
        IF c_slots[j] = j THEN
            c_used[j] := coalesce((
                SELECT l.used FROM limit_counters l
                WHERE l.account_id = p_count_accounts[j] AND l.name = p_count_names[j]
                  AND l.period = p_count_periods[j]
            ), 0);
        END IF;
    END LOOP;

    -- Authorities are unique in the database. All are taken here, the unused given back below.
    IF p_authorities IS NOT NULL THEN
        WITH taken AS (
            INSERT INTO authorities (authority, posting_id, recorded_at)
            SELECT DISTINCT ON (p_authorities[i]) p_authorities[i], o_postings[i], p_now
            FROM generate_series(1, v_n) AS i
            WHERE p_authorities[i] IS NOT NULL AND o_postings[i] IS NOT NULL AND NOT o_replayed[i]
            ORDER BY p_authorities[i], i
            ON CONFLICT DO NOTHING
            RETURNING authority
        )
        SELECT array_agg(authority) INTO g_taken FROM taken;
    END IF;

    ---- Judge one posting after the other ----------------------------------------------------------

    FOR i IN 1 .. v_n LOOP
        IF p_move_ends[i] <= v_move THEN
            RAISE EXCEPTION 'post_v1: posting % has no moves', i USING ERRCODE = '22023';
        END IF;
        IF o_replayed[i] OR o_refusals[i] IS NOT NULL THEN
            v_move := p_move_ends[i];
            v_count := p_count_ends[i];
            CONTINUE;
        END IF;

        -- Its form. The loop looks for the highest rung of the ladder over all moves.
        v_rank := NULL;
        v_gate := false;
        v_done := v_move;
        v_counted := v_count;
        FOR m IN v_move + 1 .. p_move_ends[i] LOOP
            d := array_position(a_ids, p_debits[m]);
            c := array_position(a_ids, p_credits[m]);
            m_debit[m] := d;
            m_credit[m] := c;
            IF d IS NULL OR c IS NULL THEN
                v_rank := 1;
            ELSIF a_currency[d] <> a_currency[c] THEN
                v_rank := least(v_rank, 2);
            ELSIF d = c THEN
                v_rank := least(v_rank, 3);
            ELSIF p_amounts[m] IS NULL OR p_amounts[m] <= 0 THEN
                v_rank := least(v_rank, 4);
            ELSIF d > a_floors OR p_credits[m] = ANY (v_trusts) THEN
                v_gate := true;
            END IF;
        END LOOP;
        IF v_counts > 0 THEN
            FOR j IN v_count + 1 .. p_count_ends[i] LOOP
                v_at := array_position(a_ids, p_count_accounts[j]);
                IF v_at IS NULL OR v_at > a_floors THEN
                    v_rank := 1;
                ELSIF p_count_amounts[j] IS NULL OR p_count_amounts[j] < 0 THEN
                    v_rank := least(v_rank, 4);
                END IF;
            END LOOP;
        END IF;
        v_refusal := CASE v_rank WHEN 1 THEN 'account_unknown' WHEN 2 THEN 'currency_mixed'
                     WHEN 3 THEN 'same_account' WHEN 4 THEN 'amount_not_positive' END;

        -- What allows it to take from the house.
        IF v_refusal IS NULL AND (v_gate OR p_authorities[i] IS NOT NULL) THEN
            v_refusal := CASE
                WHEN p_authorities[i] IS NULL THEN 'authority_required'
                WHEN array_position(g_taken, p_authorities[i]) IS NULL
                  OR array_position(g_spent, p_authorities[i]) IS NOT NULL THEN 'authority_used'
                ELSE authority_refusal_v1(
                    p_authorities[i], p_debits[v_move + 1 : p_move_ends[i]],
                    p_credits[v_move + 1 : p_move_ends[i]], p_amounts[v_move + 1 : p_move_ends[i]]
                )
            END;
        END IF;

        -- The hold that it captures: all of it is given up, the moves then take their part.
        v_hold := NULL;
        IF p_holds[i] IS NOT NULL AND v_refusal IS NULL THEN
            v_hold := array_position(h_ids, p_holds[i]);
            v_sum := 0;
            IF v_hold IS NOT NULL THEN
                FOR m IN v_move + 1 .. p_move_ends[i] LOOP
                    IF p_debits[m] = h_accounts[v_hold] THEN
                        v_sum := v_sum + p_amounts[m];
                    END IF;
                END LOOP;
            END IF;
            v_refusal := CASE
                WHEN v_hold IS NULL OR NOT h_open[v_hold] THEN 'hold_not_held'
                WHEN v_sum = 0 THEN 'hold_wrong_account'
                WHEN v_sum > h_amounts[v_hold] THEN 'hold_too_small'
            END;
            IF v_refusal IS NULL THEN
                d := array_position(a_ids, h_accounts[v_hold]);
                a_left[d] := a_left[d] + h_amounts[v_hold];
            ELSE
                v_hold := NULL;
            END IF;
        END IF;

        -- Limits.
        IF v_counts > 0 AND v_refusal IS NULL THEN
            FOR j IN v_count + 1 .. p_count_ends[i] LOOP
                c := c_slots[j];
                IF p_count_amounts[j] > p_count_caps[j] - c_used[c] THEN
                    v_refusal := 'limit_' || p_count_names[j];
                    EXIT;
                END IF;
                c_used[c] := c_used[c] + p_count_amounts[j];
                c_added[c] := c_added[c] + p_count_amounts[j];
                v_counted := j;
            END LOOP;
        END IF;

        -- Money. A position after a_floors is a house account's, which only adds up.
        IF v_refusal IS NULL THEN
            FOR m IN v_move + 1 .. p_move_ends[i] LOOP
                d := m_debit[m];
                c := m_credit[m];
                IF d > a_floors THEN
                    a_added[d] := coalesce(a_added[d], 0) - p_amounts[m];
                ELSIF a_left[d] < p_amounts[m] THEN
                    v_refusal := 'insufficient_funds';
                    EXIT;
                ELSE
                    a_left[d] := a_left[d] - p_amounts[m];
                    a_balance[d] := a_balance[d] - p_amounts[m];
                    a_seq[d] := a_seq[d] + 1;
                    m_debit_seq[m] := a_seq[d];
                    m_debit_balance[m] := a_balance[d];
                END IF;
                IF c > a_floors THEN
                    a_added[c] := coalesce(a_added[c], 0) + p_amounts[m];
                ELSE
                    a_left[c] := a_left[c] + p_amounts[m];
                    a_balance[c] := a_balance[c] + p_amounts[m];
                    a_seq[c] := a_seq[c] + 1;
                    m_credit_seq[m] := a_seq[c];
                    m_credit_balance[m] := a_balance[c];
                END IF;
                m_postings[m] := o_postings[i];
                m_lines[m] := m - v_move;
                v_done := m;
            END LOOP;
        END IF;

        IF v_refusal IS NULL THEN
            IF v_gate OR p_authorities[i] IS NOT NULL THEN
                g_spent := g_spent || p_authorities[i];
                PERFORM spend_authority_v1(p_authorities[i], o_postings[i]);
            END IF;
            IF v_hold IS NOT NULL THEN
                h_open[v_hold] := false;
                h_captured[v_hold] := v_sum;
                h_postings[v_hold] := o_postings[i];
                d := array_position(a_ids, h_accounts[v_hold]);
                a_freed[d] := coalesce(a_freed[d], 0) + h_amounts[v_hold];
                -- What was not captured was not used: back to exactly the counters of the hold.
                -- (Counts of this posting itself were judged while the hold still counted.)
                IF v_sum < h_amounts[v_hold] THEN
                    FOR v_row IN SELECT * FROM give_back_counts_v1(
                        p_holds[i], h_amounts[v_hold] - v_sum, h_amounts[v_hold]
                    ) LOOP
                        v_at := array_position(c_names, concat_ws(
                            ' ', v_row.o_account, v_row.o_period, v_row.o_name));
                        IF v_at IS NOT NULL THEN
                            c_used[v_at] := c_used[v_at] - v_row.o_amount;
                        END IF;
                    END LOOP;
                END IF;
            END IF;
        ELSE
            -- Undo what it did in memory.
            FOR m IN v_move + 1 .. v_done LOOP
                d := m_debit[m];
                c := m_credit[m];
                IF d > a_floors THEN
                    a_added[d] := a_added[d] + p_amounts[m];
                ELSE
                    a_left[d] := a_left[d] + p_amounts[m];
                    a_balance[d] := a_balance[d] + p_amounts[m];
                    a_seq[d] := a_seq[d] - 1;
                END IF;
                IF c > a_floors THEN
                    a_added[c] := a_added[c] - p_amounts[m];
                ELSE
                    a_left[c] := a_left[c] - p_amounts[m];
                    a_balance[c] := a_balance[c] - p_amounts[m];
                    a_seq[c] := a_seq[c] - 1;
                END IF;
                m_postings[m] := NULL;
            END LOOP;
            IF v_counts > 0 THEN
                FOR j IN v_count + 1 .. v_counted LOOP
                    c := c_slots[j];
                    c_used[c] := c_used[c] - p_count_amounts[j];
                    c_added[c] := c_added[c] - p_count_amounts[j];
                END LOOP;
            END IF;
            IF v_hold IS NOT NULL THEN
                d := array_position(a_ids, h_accounts[v_hold]);
                a_left[d] := a_left[d] - h_amounts[v_hold];
            END IF;
            o_postings[i] := NULL;
            o_refusals[i] := v_refusal;
            r_at := r_at || i;
            v_new := v_new - 1;
        END IF;
        v_move := p_move_ends[i];
        v_count := p_count_ends[i];
    END LOOP;

    ---- Write ---------------------------------------------------------------------------------------

    IF v_new > 0 THEN
        UPDATE accounts a
        SET balance = a_balance[i], seq = a_seq[i], held = a.held - coalesce(a_freed[i], 0)
        FROM unnest(a_ids[: a_floors]) WITH ORDINALITY AS t (id, i)
        WHERE a.id = t.id AND (a.seq <> a_seq[i] OR a_freed[i] > 0);

        IF a_added IS NOT NULL THEN
            INSERT INTO house_pending (account_id, amount_minor)
            SELECT a_ids[i], a_added[i] FROM generate_series(a_floors + 1, cardinality(a_ids)) AS i
            WHERE a_added[i] <> 0;
        END IF;

        INSERT INTO postings (id, posted_at, key, kind, reference, authority, hold_id)
        SELECT o_postings[i], p_now, p_keys[i], p_kinds[i], p_references[i],
               p_authorities[i], p_holds[i]
        FROM generate_series(1, v_n) AS i
        WHERE o_postings[i] IS NOT NULL AND NOT o_replayed[i];

        INSERT INTO moves (
            posting_id, posted_at, line, debit, credit, amount_minor,
            debit_seq, debit_balance, credit_seq, credit_balance
        )
        SELECT m_postings[m], p_now, m_lines[m], p_debits[m], p_credits[m], p_amounts[m],
               m_debit_seq[m], m_debit_balance[m], m_credit_seq[m], m_credit_balance[m]
        FROM generate_series(1, v_moves) AS m
        WHERE m_postings[m] IS NOT NULL;

        IF v_counts > 0 THEN
            INSERT INTO limit_counters AS l (account_id, name, period, used)
            SELECT p_count_accounts[j], p_count_names[j], p_count_periods[j], c_added[j]
            FROM generate_series(1, v_counts) AS j
            WHERE c_added[j] > 0
            ON CONFLICT (account_id, name, period) DO UPDATE SET used = l.used + excluded.used;
        END IF;

        IF h_postings IS NOT NULL THEN
            UPDATE holds h
            SET state = 'captured', captured_minor = h_captured[i], posting_id = h_postings[i],
                expires_at = NULL, closed_at = p_now
            FROM unnest(h_ids) WITH ORDINALITY AS t (id, i)
            WHERE h.id = t.id AND h_postings[i] IS NOT NULL;
        END IF;
    END IF;

    IF r_at IS NOT NULL THEN
        UPDATE posting_keys k SET posting_id = NULL, refusal = o_refusals[i]
        FROM unnest(r_at) AS i WHERE k.key = p_keys[i];
        DELETE FROM authorities
        WHERE authority = ANY (g_taken) AND (g_spent IS NULL OR NOT authority = ANY (g_spent));
    END IF;

    IF k_twins IS NOT NULL THEN
        FOR i IN 1 .. v_n LOOP
            IF k_twins[i] IS NOT NULL THEN
                o_postings[i] := o_postings[k_twins[i]];
                o_refusals[i] := o_refusals[k_twins[i]];
            END IF;
        END LOOP;
    END IF;
END $$;

REVOKE ALL ON FUNCTION post_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION post_v1 TO kibanda_app;
