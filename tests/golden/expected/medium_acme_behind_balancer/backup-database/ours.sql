-- The databases of this deployment, on a server that has others too: their owners carry its comment.
SELECT datname FROM pg_database
WHERE datallowconn AND NOT datistemplate AND shobj_description(datdba, 'pg_authid') = :'mark' ORDER BY 1;
