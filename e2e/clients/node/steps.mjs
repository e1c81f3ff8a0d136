// What every check in this folder does: run steps and print a line for each.
import assert from 'node:assert/strict'
import fs from 'node:fs'

export const everyByte = Buffer.from(Array.from({ length: 256 }, (_, i) => i))

// ssl is the TLS setting of a client, false for none.
export const ssl = process.env.PGSSLMODE === 'disable' ? false : { ca: fs.readFileSync(process.env.PGSSLROOTCERT, 'utf8') }

export async function run (steps) {
  for (const [name, step] of Object.entries(steps)) {
    try {
      await step()
      console.log(`${name}: ok`)
    } catch (e) {
      console.log(`${name}: ${e.code ?? ''} ${String(e.message).split('\n')[0]}`)
    }
  }
}

// fails checks that a promise is rejected with a SQLSTATE.
export async function fails (promise, code) {
  try {
    await promise
  } catch (e) {
    const got = e.code ?? e.driverError?.code ?? e.nativeError?.code
    assert.equal(got, code)
    return
  }
  assert.fail('no error')
}
