-- Database, table and number of rows, a line each, as the manifest of a backup has them.
SELECT format(E'SELECT %L || E''\\t'' || %L || E''\\t'' || count(*) FROM ONLY %I.%I', :'database', n.nspname || '.' || c.relname,
  n.nspname, c.relname)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
\gexec
