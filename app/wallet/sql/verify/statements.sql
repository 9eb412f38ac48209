-- The files of the bank's statement follow each other without a gap, and each has the lines that it
-- says it has, which lead from its opening balance to its closing one. What the first begins with is
-- what lines entered by hand had brought, and the opening line.
SELECT s.id::text AS subject,
       format('%s: opens with %s, after %s', s.file_name, s.opening_minor, p.closing_minor) AS detail
FROM bank_statements s JOIN bank_statements p ON p.id = s.previous_id
WHERE s.opening_minor <> p.closing_minor OR s.currency <> p.currency
UNION ALL
SELECT s.id::text, format('%s: %s lines of %s, which sum to %s; it went from %s to %s', s.file_name,
                          count(l.id) FILTER (WHERE t.position > 0), s.lines,
                          sum(l.amount_minor) FILTER (WHERE t.position > 0),
                          s.opening_minor, s.closing_minor)
FROM bank_statements s
LEFT JOIN statement_lines t ON t.statement_id = s.id
LEFT JOIN bank_lines l ON l.id = t.line_id AND l.currency = s.currency
GROUP BY s.id
HAVING count(l.id) FILTER (WHERE t.position > 0) <> s.lines
    OR coalesce(sum(l.amount_minor) FILTER (WHERE t.position > 0), 0)
       <> s.closing_minor - s.opening_minor
    OR coalesce(sum(l.amount_minor) FILTER (WHERE t.position = 0), 0)
       <> CASE WHEN s.previous_id IS NULL THEN s.opening_minor - s.covered_minor ELSE 0 END
UNION ALL
SELECT t.line_id, format('balance %s does not follow from the line before', t.balance_minor)
FROM (
    SELECT t.line_id, t.balance_minor, t.position, s.opening_minor, l.amount_minor,
           lag(t.balance_minor, 1, s.opening_minor) OVER (
               PARTITION BY t.statement_id ORDER BY t.position) AS before
    FROM statement_lines t
    JOIN bank_statements s ON s.id = t.statement_id
    JOIN bank_lines l ON l.id = t.line_id
) AS t
WHERE t.position > 0 AND t.balance_minor <> t.before + t.amount_minor
