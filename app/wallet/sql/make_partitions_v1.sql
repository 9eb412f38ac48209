-- Monthly partitions of postings and moves, made ahead; the schedule calls it every day.
--
-- A row that no partition takes goes to the default one, so that a late schedule can never refuse
-- a posting. Rows of a month that waited there move into its partition here.
CREATE FUNCTION make_partitions_v1(p_from date, p_months int) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_table text;
    v_name  text;
    v_start timestamptz;
    v_end   timestamptz;
    v_made  int := 0;
BEGIN
    IF p_months NOT BETWEEN 1 AND 120 THEN
        RAISE EXCEPTION 'make_partitions_v1: % months is not 1 to 120', p_months;
    END IF;
    FOR v_month IN 0 .. p_months - 1 LOOP
        v_start := date_trunc('month', p_from + make_interval(months => v_month)) AT TIME ZONE 'UTC';
        v_end := date_trunc('month', p_from + make_interval(months => v_month + 1))
                 AT TIME ZONE 'UTC';
        FOREACH v_table IN ARRAY ARRAY['postings', 'moves'] LOOP
            v_name := v_table || to_char(v_start AT TIME ZONE 'UTC', '_YYYY_MM');
            CONTINUE WHEN to_regclass('public.' || v_name) IS NOT NULL;
            EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', v_table || '_default');
            -- The lock may have been waited for behind another maker of the same month.
            CONTINUE WHEN to_regclass('public.' || v_name) IS NOT NULL;
            EXECUTE format(
                'CREATE TABLE public.%I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)',
                v_name, v_table
            );
            EXECUTE format(
                'WITH waited AS (DELETE FROM %I WHERE posted_at >= %L AND posted_at < %L RETURNING *)'
                ' INSERT INTO public.%I SELECT * FROM waited',
                v_table || '_default', v_start, v_end, v_name
            );
            EXECUTE format(
                'ALTER TABLE %I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                v_table, v_name, v_start, v_end
            );
            v_made := v_made + 1;
        END LOOP;
    END LOOP;
    RETURN v_made;
END $$;

REVOKE ALL ON FUNCTION make_partitions_v1 FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_partitions_v1 TO kibanda_app;
