select character_set_name from INFORMATION_SCHEMA.character_sets
-- %%
select TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE from INFORMATION_SCHEMA.tables where TABLE_SCHEMA not in ('information_schema', 'pg_catalog') order by TABLE_SCHEMA, TABLE_NAME
-- %%
select COLUMN_NAME, ORDINAL_POSITION, IS_NULLABLE, case when (data_type like '%unsigned%') then DATA_TYPE || ' unsigned' else DATA_TYPE end as DATA_TYPE
from INFORMATION_SCHEMA.columns where TABLE_SCHEMA = 'public' and TABLE_NAME = 'cache_entries' order by TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION
-- %%
select i.CONSTRAINT_SCHEMA || '_' || i.CONSTRAINT_NAME as INDEX_NAME, ii.COLUMN_NAME, ii.ORDINAL_POSITION, case when i.CONSTRAINT_TYPE = 'PRIMARY KEY' then 'Y' else 'N' end as PRIMARY_KEY
from INFORMATION_SCHEMA.table_constraints i inner join INFORMATION_SCHEMA.key_column_usage ii
  on i.CONSTRAINT_SCHEMA = ii.CONSTRAINT_SCHEMA and i.CONSTRAINT_NAME = ii.CONSTRAINT_NAME and i.TABLE_SCHEMA = ii.TABLE_SCHEMA and i.TABLE_NAME = ii.TABLE_NAME
where i.TABLE_SCHEMA = 'public' and i.TABLE_NAME = 'cache_namespaces' and i.CONSTRAINT_TYPE in ('PRIMARY KEY', 'UNIQUE') order by 1, 3
-- %%
select "$Ordered"."ns", "$Ordered"."entries", "$Ordered"."hits" from (select "_"."ns", "_"."entries", "_"."hits" from "public"."cache_namespaces" "_") "$Ordered" order by "$Ordered"."ns" limit 1000
-- %%
select "rows"."ns" as "ns", sum(cast("rows"."size" as decimal)) as "a0", count("rows"."key") as "a1" from (select "ns", "key", "size" from "public"."cache_entries" "$Table") "rows" group by "ns" order by 1
-- %%
select "_"."time", "_"."hits" from "public"."cache_stats_history" "_" where "_"."time" >= timestamp '2026-01-01 00:00:00' and "_"."time" < timestamp '2026-01-01 00:00:01' limit 1000001
