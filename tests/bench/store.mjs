// What the servers with Node have in common: the schema, and a send with four writes in one transaction, as in the hub.

import { randomUUID } from 'node:crypto'
import { MongoClient } from 'mongodb'

export const [mongoUrl, redisUrl] = process.argv.slice(2)

export const typeDefs = `
  type Notification { id: ID! to: ID! title: String! body: String! category: String! createdAt: String! }
  input SendInput { to: ID! title: String! body: String! category: String! }
  type Query { version: String! }
  type Mutation { send(input: SendInput!): Notification! }
  type Subscription { notifications(to: ID!): Notification! }
`

/** Connect to the database of this server and return the function that stores a notification. */
export async function openStore(name) {
  const client = await new MongoClient(mongoUrl, { writeConcern: { w: 'majority', journal: true } }).connect()
  const database = client.db(name)
  const names = ['mailboxes', 'notifications', 'receipts', 'sends']
  const [mailboxes, notifications, receipts, sends] = names.map((collection) => database.collection(collection))

  return async (input) => {
    const notification = { id: randomUUID(), ...input, createdAt: new Date().toISOString() }
    const { id, to, createdAt } = notification
    const counts = { $inc: { modseq: 1, unread: 1, unseen: 1 } }
    await client.withSession((session) =>
      session.withTransaction(async () => {
        await mailboxes.updateOne({ _id: to }, counts, { upsert: true, session })
        await notifications.insertOne({ _id: id, ...input, createdAt }, { session })
        await receipts.insertOne({ _id: `${id}:DELIVERED`, to, status: 'DELIVERED', at: createdAt }, { session })
        await sends.insertOne({ _id: id, to: [to], createdAt }, { session })
      }),
    )
    return notification
  }
}

/** Print the port, as `hub serve` does. */
export function announce(server) {
  console.log(JSON.stringify({ event: 'serving', port: server.address().port }))
}
