-- Dumps one database, then counts the rows of its tables, both as of one instant. Each row of the output is an object
-- of JSON: table -> rows.
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SELECT pg_export_snapshot() AS snapshot \gset
\setenv DUMP_SNAPSHOT :snapshot
\! pg_dump -w -F custom -Z 0 --snapshot="$DUMP_SNAPSHOT" -d "$DUMP_DATABASE" -f "$DUMP_FOLDER/$DUMP_DATABASE.dump"; echo $? >"$DUMP_FOLDER/status"
SELECT format('SELECT json_build_object(%L, count(*)) FROM ONLY %I.%I', n.nspname || '.' || c.relname, n.nspname, c.relname)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
ORDER BY n.nspname, c.relname
\gexec
COMMIT;
