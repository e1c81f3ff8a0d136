// knex: a query builder over node-postgres.
import assert from 'node:assert/strict'
import knex from 'knex'
import { everyByte, fails, run, ssl } from './steps.mjs'

const db = knex({
  client: 'pg',
  connection: { host: process.env.PGHOST, port: Number(process.env.PGPORT), user: process.env.PGUSER, password: process.env.PGPASSWORD, database: process.env.PGDATABASE, ssl }
})
const blob = key => db('blob').where({ ns: 'knex', key })

await run({
  connect: async () => assert.equal((await db.raw('SELECT 1 AS one')).rows[0].one, 1),
  text: async () => {
    await db('blob').insert({ ns: 'knex', key: 'text', value_text: 'héllo' }).onConflict(['ns', 'key']).merge()
    assert.equal((await blob('text').first('value_text')).value_text, 'héllo')
  },
  binary: async () => {
    await db('blob').insert({ ns: 'knex', key: 'bytes', value: everyByte }).onConflict(['ns', 'key']).merge()
    assert.deepEqual((await blob('bytes').first('value')).value, everyByte)
  },
  error: () => fails(db('blob').insert({ ns: 'knex', key: 'text', value: 'again' }), '23505'),
  transaction: async () => {
    await db.transaction(tx => tx('blob').insert({ ns: 'knex', key: 'tx', value: 'x' }).then(() => { throw new Error('stop') })).catch(() => {})
    assert.equal(await blob('tx').first('key'), undefined)
    await db.transaction(tx => tx('blob').insert({ ns: 'knex', key: 'tx', value: 'x' }).onConflict().ignore())
    assert.equal((await blob('tx').first('key')).key, 'tx')
  },
  invalidate: async () => {
    await db('blob').insert({ ns: 'knex', key: 'tagged', value: 'x', tags: ['t'] }).onConflict(['ns', 'key']).merge()
    assert.equal((await db.raw("SELECT invalidate_tags('knex', ?) AS n", ['t'])).rows[0].n, '1')
  },
  introspect: async () => {
    assert.ok(await db.schema.hasTable('blob'))
    assert.equal((await db('blob').columnInfo()).value.type, 'bytea')
  },
  more: async () => {
    assert.equal(await blob('text').update({ ttl_ms: 60000 }), 1)
    const total = await db('cache_namespaces').where('ns', 'like', 'kn%').sum('entries as sum').count('* as n').first()
    assert.equal(total.n, '1')
    assert.equal(await blob('text').del(), 1)
  }
})
await db.destroy()
