// node-postgres: a pool, named statements, cursors, LISTEN.
import assert from 'node:assert/strict'
import pg from 'pg'
import Cursor from 'pg-cursor'
import { everyByte, fails, run, ssl } from './steps.mjs'

const pool = new pg.Pool({ ssl, max: 4 })
const get = (key, column = 'value') => pool.query({ name: 'get ' + column, text: `SELECT ${column} FROM blob WHERE ns = 'pg' AND key = $1`, values: [key] })

await run({
  connect: async () => assert.equal((await pool.query('SELECT 1 AS one')).rows[0].one, 1),
  text: async () => {
    await pool.query("SELECT cache_put('pg', $1, $2)", ['text', Buffer.from('héllo')])
    assert.equal((await get('text', 'value_text')).rows[0].value_text, 'héllo')
  },
  binary: async () => {
    await pool.query("SELECT cache_put('pg', 'bytes', $1)", [everyByte])
    assert.deepEqual((await get('bytes')).rows[0].value, everyByte)
  },
  error: () => fails(pool.query("INSERT INTO blob (ns, key, value) VALUES ('pg', 'text', 'again')"), '23505'),
  transaction: async () => {
    const c = await pool.connect()
    for (const [end, rows] of [['ROLLBACK', 0], ['COMMIT', 1]]) {
      await c.query('BEGIN')
      await c.query("SELECT cache_put('pg', 'tx', 'x')")
      await c.query(end)
      assert.equal((await get('tx')).rows.length, rows)
    }
    c.release()
  },
  invalidate: async () => {
    await pool.query("SELECT cache_put('pg', 'tagged', 'x', tags => $1)", [['t']])
    assert.equal((await pool.query("SELECT invalidate_tags('pg', 't') AS n")).rows[0].n, '1')
    assert.equal((await get('tagged')).rows.length, 0)
  },
  introspect: async () => {
    const { rows } = await pool.query("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = $1", ['blob'])
    assert.ok(rows.some(r => r.column_name === 'value' && r.data_type === 'bytea'))
  },
  more: async () => {
    await Promise.all(Array.from({ length: 40 }, (_, i) => pool.query("SELECT cache_put('pg', $1, 'x')", ['many' + i])))
    const c = await pool.connect()
    const cursor = c.query(new Cursor("SELECT key FROM blob WHERE ns = 'pg' AND key LIKE 'many%'"))
    assert.equal((await cursor.read(15)).length + (await cursor.read(100)).length, 40)
    await cursor.close()
    const heard = new Promise(resolve => c.once('notification', resolve))
    await c.query('LISTEN news')
    await pool.query("SELECT pg_notify('news', 'hello')")
    assert.equal((await heard).payload, 'hello')
    c.release()
  }
})
await pool.end()
