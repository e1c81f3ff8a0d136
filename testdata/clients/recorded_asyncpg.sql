-- recorded by e2e/capture: asyncpg 0.27.0-1+b2: types it looks up
SELECT column_name, data_type FROM information_schema.columns WHERE table_name = $1
