// postgres.js: pipelined queries, tagged templates, its own type handling, cursors.
import assert from 'node:assert/strict'
import postgres from 'postgres'
import { everyByte, fails, run, ssl } from './steps.mjs'

const sql = postgres({ ssl, max: 2, onnotice: () => {} })

await run({
  connect: async () => assert.equal((await sql`SELECT 1 AS one`)[0].one, 1),
  text: async () => {
    await sql`SELECT cache_put('postgresjs', ${'text'}, ${Buffer.from('héllo')})`
    assert.equal((await sql`SELECT value_text FROM blob WHERE ns = 'postgresjs' AND key = ${'text'}`)[0].value_text, 'héllo')
  },
  binary: async () => {
    await sql`SELECT cache_put('postgresjs', 'bytes', ${everyByte})`
    assert.deepEqual((await sql`SELECT value FROM blob WHERE ns = 'postgresjs' AND key = 'bytes'`)[0].value, everyByte)
  },
  error: () => fails(sql`INSERT INTO blob (ns, key, value) VALUES ('postgresjs', 'text', 'again')`, '23505'),
  transaction: async () => {
    await fails(sql.begin(async tx => {
      await tx`SELECT cache_put('postgresjs', 'tx', 'rolled back')`
      throw Object.assign(new Error('stop'), { code: 'stop' })
    }), 'stop')
    assert.equal((await sql`SELECT value FROM blob WHERE ns = 'postgresjs' AND key = 'tx'`).length, 0)
    await sql.begin(tx => tx`SELECT cache_put('postgresjs', 'tx', 'committed')`)
    assert.equal((await sql`SELECT value_text FROM blob WHERE ns = 'postgresjs' AND key = 'tx'`)[0].value_text, 'committed')
  },
  invalidate: async () => {
    await sql`SELECT cache_put('postgresjs', 'tagged', 'x', tags => ${['t']})`
    assert.equal((await sql`SELECT invalidate_tags('postgresjs', 't') AS n`)[0].n, '1')
  },
  introspect: async () => {
    const rows = await sql`SELECT column_name, data_type FROM information_schema.columns WHERE table_name = ${'blob'}`
    assert.ok(rows.some(r => r.column_name === 'value' && r.data_type === 'bytea'))
  },
  more: async () => {
    await Promise.all(Array.from({ length: 40 }, (_, i) => sql`SELECT cache_put('postgresjs', ${'many' + i}, 'x')`))
    let n = 0
    await sql`SELECT key FROM blob WHERE ns = 'postgresjs' AND key LIKE 'many%'`.cursor(7, rows => { n += rows.length })
    assert.equal(n, 40)
    const heard = new Promise(resolve => sql.listen('news', resolve).then(() => sql.notify('news', 'hello')))
    assert.equal(await heard, 'hello')
  }
})
await sql.end()
