// node-postgres against a running pgcache. Usage: node check.mjs HOST PORT. Prints "ok"
// or fails with what was wrong.
import assert from 'node:assert/strict'
import pg from 'pg'

const options = { host: process.argv[2], port: Number(process.argv[3]), user: 'pgcache', database: 'pgcache' }
const put = `INSERT INTO blob (ns, key, value) VALUES ($1, $2, $3)
  ON CONFLICT (ns, key) DO UPDATE SET value = excluded.value`
const get = 'SELECT value FROM blob WHERE ns = $1 AND key = $2'
const everyByte = Buffer.from(Array.from({ length: 256 }, (_, i) => i))

async function checkValues(client) {
  const stored = await client.query(put, ['node', 'bytes', everyByte])
  assert.equal(stored.command, 'INSERT')
  assert.equal(stored.rowCount, 1)
  for (const query of [get, { name: 'get', text: get }, { text: get, rowMode: 'array' }]) {
    const { rows } = await client.query(query, ['node', 'bytes'])
    const value = Array.isArray(rows[0]) ? rows[0][0] : rows[0].value
    assert.ok(Buffer.isBuffer(value) && value.equals(everyByte))
  }
  // A second use of a named statement binds without a Parse.
  const again = await client.query({ name: 'get', text: get }, ['node', 'absent'])
  assert.equal(again.rowCount, 0)
  await client.query('INSERT INTO blob (ns, key, value, tags, metadata, ttl_ms, version) VALUES ($1, $2, $3, $4, $5, $6, $7)',
    ['node', 'typed', Buffer.alloc(0), ['a', 'b c'], { 'content-type': 'text/plain' }, 60000, null])
  const { rows: [row] } = await client.query(
    'SELECT value, tags, metadata, ttl_ms, version, is_stale, created_at FROM blob WHERE ns = $1 AND key = $2', ['node', 'typed'])
  assert.equal(row.value.length, 0)
  assert.deepEqual(row.tags, ['a', 'b c'])
  assert.deepEqual(row.metadata, { 'content-type': 'text/plain' })
  assert.ok(Number(row.ttl_ms) > 0 && Number(row.ttl_ms) <= 60000)
  assert.equal(row.version, null)
  assert.equal(row.is_stale, false)
  assert.ok(row.created_at instanceof Date)
  const many = await client.query('SELECT key FROM blob WHERE ns = $1 AND key = ANY($2)', ['node', ['bytes', 'typed', 'absent']])
  assert.deepEqual(many.rows.map((r) => r.key).sort(), ['bytes', 'typed'])
}

async function checkErrors(client) {
  const insert = 'INSERT INTO blob (ns, key, value) VALUES ($1, $2, $3)'
  await assert.rejects(client.query(insert, ['node', 'bytes', everyByte]), { code: '23505', constraint: 'blob_pkey' })
  await assert.rejects(client.query('SELEC'), { code: '42601', position: '1' })
  await assert.rejects(client.query(insert, ['node', 'k', null]), { code: '23502' })
  await assert.rejects(client.query('CREATE TABLE t (a int)'), { code: '0A000' })
  assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1)
}

async function checkTransactions(client, pool) {
  await client.query('BEGIN')
  await client.query(put, ['node', 'tx', Buffer.from('v')])
  assert.equal((await pool.query(get, ['node', 'tx'])).rowCount, 0, 'visible before COMMIT')
  await client.query('COMMIT')
  assert.equal((await pool.query(get, ['node', 'tx'])).rowCount, 1, 'not visible after COMMIT')
  await client.query('BEGIN')
  await client.query(put, ['node', 'gone', Buffer.from('v')])
  await client.query('ROLLBACK')
  assert.equal((await pool.query(get, ['node', 'gone'])).rowCount, 0, 'visible after ROLLBACK')
}

async function checkPool(pool) {
  const keys = Array.from({ length: 200 }, (_, i) => `pool${i}`)
  await Promise.all(keys.map((key) => pool.query(put, ['node', key, Buffer.from(key)])))
  const answers = await Promise.all(keys.map((key) => pool.query(get, ['node', key])))
  answers.forEach((answer, i) => assert.equal(answer.rows[0].value.toString(), keys[i]))
  const called = await pool.query('CALL invalidate_prefix($1, $2)', ['node', 'pool'])
  assert.equal(Number(called.rows[0].invalidated), 200)
}

const client = new pg.Client(options)
const pool = new pg.Pool({ ...options, max: 8 })
await client.connect()
await checkValues(client)
await checkErrors(client)
await checkTransactions(client, pool)
await checkPool(pool)
await client.end()
await pool.end()
console.log('ok')
