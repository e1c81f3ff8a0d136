-- recorded by e2e/capture: knex 3.3.0: columns
select * from information_schema.tables where table_name = $1 and table_schema = current_schema()
-- %%
select * from information_schema.columns where table_name = $1 and table_catalog = current_database() and table_schema = current_schema()
