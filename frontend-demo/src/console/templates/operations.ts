/** The GraphQL operations of the pages about templates. */
import { graphql, type ResultOf, type VariablesOf } from "../../../packages/client/src/graphql";

export const Templates = graphql(`
  query Templates($key: String) {
    templates(key: $key) { key locale channel title subject version updatedAt updatedBy }
  }
`);

const Texts = graphql(`
  fragment Texts on Template {
    key
    locale
    channel
    subject
    title
    body
    markdown
    html
    preheader
    actionUrl
    imageUrl
    actions { key label url primary }
    whatsappContentSid
    whatsappVariables
    version
    updatedAt
    updatedBy
    variables
  }
`);

export const Template = graphql(
  `
    query Template($key: String!, $locale: String, $channel: Channel, $version: Int) {
      template(key: $key, locale: $locale, channel: $channel, version: $version) { ...Texts @_unmask }
    }
  `,
  [Texts],
);

export const TemplateVersions = graphql(`
  query TemplateVersions($key: String!, $locale: String, $channel: Channel, $first: Int, $before: Int) {
    template(key: $key, locale: $locale, channel: $channel) {
      versions(first: $first, before: $before) { version updatedAt updatedBy note }
    }
  }
`);

export const RenderTemplate = graphql(`
  query RenderTemplate($template: TemplateRefInput!, $channel: Channel!, $draft: TemplateInput, $locale: String, $user: ID) {
    renderTemplate(template: $template, channel: $channel, draft: $draft, locale: $locale, user: $user) {
      subject
      title
      body
      markdown
      html
      preheader
      actionUrl
      imageUrl
      actions { key label url primary }
    }
  }
`);

export const UpsertTemplate = graphql(`
  mutation UpsertTemplate($input: TemplateInput!) { upsertTemplate(input: $input) { key locale channel version } }
`);

export const RevertTemplate = graphql(`
  mutation RevertTemplate($key: String!, $version: Int!, $locale: String, $channel: Channel) {
    revertTemplate(key: $key, version: $version, locale: $locale, channel: $channel) { version }
  }
`);

export const DeleteTemplate = graphql(`
  mutation DeleteTemplate($key: String!, $locale: String!, $channel: Channel) {
    deleteTemplate(key: $key, locale: $locale, channel: $channel)
  }
`);

/** The decisions about a test before it is sent. */
export const SimulateTest = graphql(`
  query SimulateTest($input: SendInput!) {
    simulate(input: $input, first: 1) { decisions { channel outcome explanation note } }
  }
`);

export const SendTest = graphql(`
  mutation SendTest($input: SendInput!) { send(input: $input) { send { id } } }
`);

export type TemplateRow = ResultOf<typeof Templates>["templates"][number];
export type Template = NonNullable<ResultOf<typeof Template>["template"]>;
export type TemplateVersion = NonNullable<ResultOf<typeof TemplateVersions>["template"]>["versions"][number];
export type Rendered = ResultOf<typeof RenderTemplate>["renderTemplate"];
export type TemplateInput = VariablesOf<typeof UpsertTemplate>["input"];
export type Channel = VariablesOf<typeof RenderTemplate>["channel"];
export type TestInput = VariablesOf<typeof SendTest>["input"];
export type TestDecision = ResultOf<typeof SimulateTest>["simulate"][number]["decisions"][number];
