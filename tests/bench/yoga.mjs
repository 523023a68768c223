// A notification server with GraphQL Yoga, graphql-ws, and Yoga's pub/sub over Redis, for `hub bench --against`.
//
// node tests/bench/yoga.mjs MONGO_URL REDIS_URL

import { createServer } from 'node:http'
import { createRedisEventTarget } from '@graphql-yoga/redis-event-target'
import { createPubSub } from '@graphql-yoga/subscription'
import { useServer } from 'graphql-ws/use/ws'
import { createSchema, createYoga } from 'graphql-yoga'
import { Redis } from 'ioredis'
import { WebSocketServer } from 'ws'
import { announce, openStore, redisUrl, typeDefs } from './store.mjs'

const store = await openStore('yoga')
const pubsub = createPubSub({
  eventTarget: createRedisEventTarget({ publishClient: new Redis(redisUrl), subscribeClient: new Redis(redisUrl) }),
})
const resolvers = {
  Query: { version: () => '1' },
  Mutation: {
    async send(_, { input }) {
      const notification = await store(input)
      pubsub.publish(`yoga:${notification.to}`, notification)
      return notification
    },
  },
  Subscription: {
    notifications: { subscribe: (_, { to }) => pubsub.subscribe(`yoga:${to}`), resolve: (notification) => notification },
  },
}

const yoga = createYoga({ schema: createSchema({ typeDefs, resolvers }), logging: false })
const { schema, validate, execute, subscribe } = yoga.getEnveloped({})
const server = createServer(yoga)
const sockets = new WebSocketServer({ server, path: yoga.graphqlEndpoint, perMessageDeflate: false })
useServer({ schema, validate, execute, subscribe, context: ({ extra }) => ({ request: extra.request }) }, sockets)
server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => announce(server))
process.on('SIGTERM', () => process.exit())
