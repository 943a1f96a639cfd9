-- The roles of this deployment on a server that has others too, without passwords, as statements that make them again.
SELECT format('CREATE ROLE %I; ALTER ROLE %I WITH NOSUPERUSER %s NOCREATEROLE NOCREATEDB %s NOREPLICATION NOBYPASSRLS;',
  rolname, rolname, CASE WHEN rolinherit THEN 'INHERIT' ELSE 'NOINHERIT' END,
  CASE WHEN rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END)
FROM pg_roles WHERE shobj_description(oid, 'pg_authid') = :'mark' ORDER BY rolname;
SELECT format('COMMENT ON ROLE %I IS %L;', rolname, :'mark')
FROM pg_roles WHERE shobj_description(oid, 'pg_authid') = :'mark' ORDER BY rolname;
SELECT DISTINCT format('GRANT %I TO %I;', g.rolname, m.rolname)
FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
WHERE shobj_description(m.oid, 'pg_authid') = :'mark'
  AND (shobj_description(g.oid, 'pg_authid') = :'mark' OR g.rolname LIKE 'pg\_%') ORDER BY 1;
SELECT format('ALTER ROLE %I SET role TO %L;', r.rolname, substr(setting, 6))
FROM pg_roles r, unnest(r.rolconfig) AS setting
WHERE shobj_description(r.oid, 'pg_authid') = :'mark' AND setting LIKE 'role=%' ORDER BY r.rolname;
SELECT '-- PostgreSQL database cluster dump complete';
