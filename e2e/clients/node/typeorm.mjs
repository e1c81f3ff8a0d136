// TypeORM: entities over node-postgres, repositories, its schema queries.
import 'reflect-metadata'
import assert from 'node:assert/strict'
import { DataSource, EntitySchema } from 'typeorm'
import { everyByte, fails, run, ssl } from './steps.mjs'

const Blob = new EntitySchema({
  name: 'Blob',
  tableName: 'blob',
  columns: {
    ns: { type: 'text', primary: true },
    key: { type: 'text', primary: true },
    value: { type: 'bytea' },
    tags: { type: 'text', array: true, nullable: true },
    ttl_ms: { type: 'bigint', nullable: true }
  }
})
const db = new DataSource({
  type: 'postgres', host: process.env.PGHOST, port: Number(process.env.PGPORT), username: process.env.PGUSER,
  password: process.env.PGPASSWORD, database: process.env.PGDATABASE, ssl, entities: [Blob], installExtensions: false
})
const repository = () => db.getRepository(Blob)
const find = key => repository().findOneBy({ ns: 'typeorm', key })

await run({
  connect: async () => {
    await db.initialize()
    assert.equal((await db.query('SELECT 1 AS one'))[0].one, 1)
  },
  text: async () => {
    await repository().upsert({ ns: 'typeorm', key: 'text', value: Buffer.from('héllo') }, ['ns', 'key'])
    assert.equal((await find('text')).value.toString(), 'héllo')
  },
  binary: async () => {
    await repository().upsert({ ns: 'typeorm', key: 'bytes', value: everyByte }, ['ns', 'key'])
    assert.deepEqual((await find('bytes')).value, everyByte)
  },
  error: () => fails(repository().insert({ ns: 'typeorm', key: 'text', value: Buffer.from('again') }), '23505'),
  transaction: async () => {
    const put = m => m.insert(Blob, { ns: 'typeorm', key: 'tx', value: Buffer.from('x') })
    await db.transaction(async m => { await put(m); throw new Error('stop') }).catch(() => {})
    assert.equal(await find('tx'), null)
    await db.transaction(put)
    assert.equal((await find('tx')).key, 'tx')
    await repository().delete({ ns: 'typeorm', key: 'tx' })
  },
  invalidate: async () => {
    await repository().upsert({ ns: 'typeorm', key: 'tagged', value: Buffer.from('x'), tags: ['t'] }, ['ns', 'key'])
    assert.equal((await db.query("SELECT invalidate_tags('typeorm', $1) AS n", ['t']))[0].n, '1')
  },
  introspect: async () => {
    const runner = db.createQueryRunner()
    const table = await runner.getTable('blob')
    assert.ok(table.columns.some(c => c.name === 'value' && c.type === 'bytea'))
    assert.deepEqual(table.primaryColumns.map(c => c.name), ['ns', 'key'])
    await runner.release()
  },
  more: async () => {
    await repository().save([1, 2, 3].map(i => ({ ns: 'typeorm', key: 'many' + i, value: Buffer.from('x') })))
    const rows = await repository().createQueryBuilder('b').select('b.key').where('b.ns = :ns AND b.key LIKE :p', { ns: 'typeorm', p: 'many%' }).orderBy('b.key').take(2).getMany()
    assert.deepEqual(rows.map(r => r.key), ['many1', 'many2'])
  }
})
await db.destroy()
