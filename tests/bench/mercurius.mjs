// A notification server with Fastify, Mercurius with its JIT compiler, and its pub/sub over Redis, for `hub bench --against`.
//
// node tests/bench/mercurius.mjs MONGO_URL REDIS_URL

import Fastify from 'fastify'
import mercurius from 'mercurius'
import createEmitter from 'mqemitter-redis'
import { announce, openStore, redisUrl, typeDefs } from './store.mjs'

const store = await openStore('mercurius')
const resolvers = {
  Query: { version: () => '1' },
  Mutation: {
    async send(_, { input }, { pubsub }) {
      const notification = await store(input)
      await pubsub.publish({ topic: `mercurius:${notification.to}`, payload: { notifications: notification } })
      return notification
    },
  },
  Subscription: { notifications: { subscribe: (_, { to }, { pubsub }) => pubsub.subscribe(`mercurius:${to}`) } },
}

const app = Fastify()
const { hostname: host, port } = new URL(redisUrl)
app.register(mercurius, { schema: typeDefs, resolvers, jit: 1, subscription: { emitter: createEmitter({ host, port }) } })
await app.listen({ host: '127.0.0.1', port: 0, backlog: 4096 })
announce(app.server)
process.on('SIGTERM', () => process.exit())
