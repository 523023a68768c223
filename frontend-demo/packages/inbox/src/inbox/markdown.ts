/**
 * The Markdown subset of a notification's body: paragraphs, lists, bold, italic, code, and links. Everything else is
 * text, also HTML and images. Each line break is kept.
 *
 * `hub/markdown.py` implements the same subset with markdown-it-py, whose algorithms this parser follows.
 * `tests/markdown_cases.json` contains texts that both must render equally. The result contains Lit templates only,
 * which never parse a sender's text as HTML.
 */
import { html, nothing, type TemplateResult } from "lit";

type Content = TemplateResult | string;
/** A part of a paragraph: text, an element, or the start or end of an element. */
type Piece = { text: string } | { element: TemplateResult } | { open: Wrap } | { close: true };
type Wrap = (content: Content[]) => TemplateResult;
type Line = { indent: number; text: string };
type Marker = { ordered: boolean; number: number; type: string; length: number };
type Delimiter = { marker: string; length: number; piece: number; end: number; open: boolean; close: boolean };
/** Called when the user clicks a link. */
type Open = (event: MouseEvent, url: string) => void;

const URL_MAX_CHARS = 2048;
const NESTED_LISTS_MAX = 8;
const NESTED_EMPHASIS_MAX = 8;

const PUNCTUATION = "[!-/:-@\\[-`{-~]";
const URL_CHAR = `[^\\x00-\\x20\\x7f-\\x9f\\u2028\\u2029()<>\\\\]|\\\\${PUNCTUATION}`;
const TITLE = `"(?:[^"\\\\]|\\\\.)*"|'(?:[^'\\\\]|\\\\.)*'`;
const TARGET = new RegExp(
  `\\([ \\n]*(?:<((?:${URL_CHAR}|[()])+)>|((?:${URL_CHAR}|\\((?:${URL_CHAR})*\\))+))(?:[ \\n]+(?:${TITLE}))?[ \\n]*\\)`,
  "sy",
);
const ESCAPE = new RegExp(`\\\\(${PUNCTUATION})`, "g");
const SPACE = /[\p{Zs}\t-\r]/u;
const SYMBOL = /[\p{P}\p{S}]/u;
const URL_START = /^(?:https?:\/\/[^/\\]|\/(?![/\\]))/i;

const strong: Wrap = (content) => html`<strong>${content}</strong>`;
const em: Wrap = (content) => html`<em>${content}</em>`;

/** Return the templates for a text. */
export function renderMarkdown(markdown: string, open: Open): TemplateResult[] {
  const source = markdown.replace(/\r\n?/g, "\n").replaceAll("\0", "\ufffd").replaceAll("\t", "    ");
  const lines = source.split("\n").map((line) => ({ indent: line.search(/[^ ]|$/), text: line.replace(/^ +/, "") }));
  return new Blocks(lines, open).parse(0, 0, -1, 0)[0] as TemplateResult[];
}

class Blocks {
  readonly #lines: Line[];
  readonly #open: Open;

  constructor(lines: Line[], open: Open) {
    this.#lines = lines;
    this.#open = open;
  }

  /** Return the blocks that are indented by at least `indent`, and the line after them. */
  parse(at: number, indent: number, listIndent: number, depth: number): [Content[], number] {
    const blocks: Content[] = [];
    for (let line; (line = this.#lines[at]); ) {
      if (!line.text) at += 1;
      else if (line.indent < indent) break;
      else if (depth < NESTED_LISTS_MAX && marker(line)) at = this.#list(blocks, at, indent, depth);
      else at = this.#paragraph(blocks, at, indent, listIndent, depth > 0 && !blocks.length);
    }
    return [blocks, at];
  }

  #list(blocks: Content[], at: number, indent: number, depth: number): number {
    const first = marker(this.#lines[at]!)!;
    const items: TemplateResult[] = [];
    for (let line; (line = this.#lines[at]) && line.indent >= indent; ) {
      const found = marker(line);
      if (found?.type !== first.type) break;
      const rest = line.text.slice(found.length);
      const text = rest.replace(/^ +/, "");
      const start = line.indent + found.length;
      const gap = rest.length - text.length;
      this.#lines[at] = { indent: start + gap, text };
      let content: Content[] = [];
      if (!text && !this.#lines[at + 1]?.text) at += 2;
      else [content, at] = this.parse(at, start + (text && gap < 5 ? gap : 1), indent, depth + 1);
      items.push(html`<li>${content}</li>`);
    }
    const dir = depth ? nothing : "auto";
    blocks.push(
      first.ordered
        ? html`<ol dir=${dir} start=${first.number === 1 ? nothing : first.number}>${items}</ol>`
        : html`<ul dir=${dir}>${items}</ul>`,
    );
    return at;
  }

  #paragraph(blocks: Content[], start: number, indent: number, listIndent: number, withoutTag: boolean): number {
    let at = start + 1;
    for (let line; (line = this.#lines[at]) && line.text; at++) {
      if (line.indent - indent < 4 && interrupts(line, indent, listIndent)) break;
    }
    const lines = this.#lines.slice(start, at).map((line) => " ".repeat(Math.max(0, line.indent - indent)) + line.text);
    const text = lines.join("\n").trim();
    const content = nested(inline(text, 0, text.length, this.#open));
    if (withoutTag) blocks.push("", ...content); // the paragraph may be empty
    else blocks.push(html`<p dir=${listIndent < 0 ? "auto" : nothing}>${content}</p>`);
    return at;
  }
}

function marker({ text }: Line): Marker | undefined {
  const found = /^(?:(\d{1,9})[.)]|[-+*])(?= |$)/.exec(text)?.[0];
  const ordered = Boolean(found?.[1]);
  return found ? { ordered, number: ordered ? parseInt(found) : 0, type: found.at(-1)!, length: found.length } : undefined;
}

/** Return True if the line starts a list, although the line before belongs to a paragraph. */
function interrupts(line: Line, indent: number, listIndent: number): boolean {
  const found = marker(line);
  if (!found || (listIndent >= 0 && line.indent - listIndent >= 4 && line.indent < indent)) return false;
  if (line.indent < indent) return true;
  return !(found.ordered && found.number !== 1) && /[^ ]/.test(line.text.slice(found.length));
}

/** Return the pieces of a part of a paragraph. */
function inline(source: string, start: number, end: number, open: Open): Piece[] {
  const pieces: Piece[] = [];
  const delimiters: Delimiter[] = [];
  let text = "";
  const push = (...added: Piece[]): void => {
    if (text) pieces.push({ text });
    text = "";
    pieces.push(...added);
  };
  for (let at = start; at < end; ) {
    const char = source[at]!;
    const next = at + 1 < end ? source[at + 1]! : "";
    if (char === "\n" || (char === "\\" && next === "\n")) {
      while (char === "\n" && text.endsWith(" ")) text = text.slice(0, -1);
      push({ element: html`<br />` });
      at += char === "\n" ? 1 : 2;
      while (at < end && source[at] === " ") at++;
    } else if (char === "\\" && next) {
      const escaped = String.fromCodePoint(source.codePointAt(at + 1)!);
      push({ text: new RegExp(PUNCTUATION).test(escaped) ? escaped : char + escaped });
      at += 1 + escaped.length;
    } else if (char === "`") {
      const length = runLength(source, at, end);
      const closing = closingBackticks(source, at + length, end, length);
      if (closing < 0) text += char.repeat(length);
      else {
        const code = source.slice(at + length, closing).replaceAll("\n", " ");
        const padded = code.startsWith(" ") && code.endsWith(" ") && /[^ ]/.test(code);
        push({ element: html`<code>${padded ? code.slice(1, -1) : code}</code>` });
      }
      at = (closing < 0 ? at : closing) + length;
    } else if (char === "*" || char === "_") {
      const length = runLength(source, at, end);
      const flanking = { marker: char, length, end: -1, ...flanks(source, at, at + length, end) };
      for (let count = 0; count < length; count++) {
        push({ text: char });
        delimiters.push({ ...flanking, piece: pieces.length - 1 });
      }
      at += length;
    } else {
      const link = char === "[" && linkAt(source, at, end);
      if (link) {
        const wrap: Wrap = (content) =>
          html`<a href=${link.url} @click=${(event: MouseEvent) => open(event, link.url)}>${content}</a>`;
        push({ open: wrap }, ...inline(source, at + 1, link.textEnd, open), { close: true });
        at = link.end;
      } else {
        text += char;
        at += 1;
      }
    }
  }
  push();
  pair(delimiters);
  emphasize(delimiters, pieces);
  return pieces;
}

function runLength(source: string, start: number, end: number): number {
  let at = start;
  while (at < end && source[at] === source[start]) at++;
  return at - start;
}

/** Return the position of the next run of backticks of this length, or -1. */
function closingBackticks(source: string, start: number, end: number, length: number): number {
  for (let at = start; (at = source.indexOf("`", at)) >= 0 && at < end; ) {
    const found = runLength(source, at, end);
    if (found === length) return at;
    at += found;
  }
  return -1;
}

function linkAt(source: string, start: number, end: number): { url: string; textEnd: number; end: number } | undefined {
  const special = /[[\]\\]|`+/g;
  special.lastIndex = start + 1;
  for (let found; (found = special.exec(source)) && found.index < end; ) {
    const [text] = found;
    if (text === "[") return undefined;
    if (text === "\\") special.lastIndex += 1;
    else if (text !== "]") {
      const closing = closingBackticks(source, special.lastIndex, end, text.length);
      if (closing >= 0) special.lastIndex = closing + text.length;
    } else {
      TARGET.lastIndex = found.index + 1;
      const target = TARGET.exec(source);
      const url = (target?.[1] ?? target?.[2] ?? "").replace(ESCAPE, "$1");
      if (!target || [...url].length > URL_MAX_CHARS || !URL_START.test(url)) return undefined;
      return { url, textEnd: found.index, end: found.index + 1 + target[0].length };
    }
  }
  return undefined;
}

/** Return whether a run of asterisks or underscores can open and close emphasis (CommonMark 0.31, 6.2). */
function flanks(source: string, start: number, end: number, limit: number): { open: boolean; close: boolean } {
  const before = [...source.slice(Math.max(0, start - 2), start)].at(-1) ?? " "; // with both halves of a surrogate pair
  const after = [...source.slice(end, Math.min(limit, end + 2))][0] ?? " ";
  const [spaceBefore, spaceAfter] = [SPACE.test(before), SPACE.test(after)];
  const [punctuationBefore, punctuationAfter] = [SYMBOL.test(before), SYMBOL.test(after)];
  const left = !spaceAfter && (!punctuationAfter || spaceBefore || punctuationBefore);
  const right = !spaceBefore && (!punctuationBefore || spaceAfter || punctuationAfter);
  const inWord = source[start] === "*";
  return {
    open: left && (inWord || !right || punctuationBefore),
    close: right && (inWord || !left || punctuationAfter),
  };
}

/** Find the delimiter that closes each opening delimiter: `processDelimiters` of markdown-it. */
function pair(delimiters: Delimiter[]): void {
  const bottoms: Record<string, number> = {};
  const jumps: number[] = [];
  let header = 0;
  let lastPiece = -2;
  delimiters.forEach((closer, at) => {
    jumps.push(0);
    if (delimiters[header]!.marker !== closer.marker || lastPiece !== closer.piece - 1) header = at;
    lastPiece = closer.piece;
    if (!closer.close) return;
    const kind = `${closer.marker}${closer.open}${closer.length % 3}`;
    const bottom = bottoms[kind] ?? -1;
    const first = header - jumps[header]! - 1;
    let opener = first;
    for (; opener > bottom; opener -= jumps[opener]! + 1) {
      const candidate = delimiters[opener]!;
      if (candidate.marker !== closer.marker || !candidate.open || candidate.end >= 0) continue;
      const sum = candidate.length + closer.length;
      if ((candidate.close || closer.open) && sum % 3 === 0 && closer.length % 3) continue;
      const jump = opener && !delimiters[opener - 1]!.open ? jumps[opener - 1]! + 1 : 0;
      jumps[at] = at - opener + jump;
      jumps[opener] = jump;
      closer.open = false;
      candidate.end = at;
      candidate.close = false;
      lastPiece = -2;
      return;
    }
    bottoms[kind] = first;
  });
}

/** Replace paired delimiters with the start and end of an element. */
function emphasize(delimiters: Delimiter[], pieces: Piece[]): void {
  for (let at = delimiters.length - 1; at >= 0; at--) {
    const { end, piece, marker } = delimiters[at]!;
    if (end < 0) continue;
    const outer = delimiters[at - 1];
    const endPiece = delimiters[end]!.piece;
    const double =
      outer?.end === end + 1 &&
      outer.marker === marker &&
      outer.piece === piece - 1 &&
      delimiters[end + 1]!.piece === endPiece + 1;
    pieces[piece] = { open: double ? strong : em };
    pieces[endPiece] = { close: true };
    if (double) {
      pieces[piece - 1] = pieces[endPiece + 1] = { text: "" };
      at--;
    }
  }
}

/** Return the content with each element inside the one that contains it. */
function nested(pieces: Piece[]): Content[] {
  const outer: { wrap: Wrap | undefined; before: Content[] }[] = [];
  let content: Content[] = [];
  for (const piece of pieces) {
    if ("text" in piece) content.push(piece.text);
    else if ("element" in piece) content.push(piece.element);
    else if ("open" in piece) {
      const isEmphasis = piece.open === strong || piece.open === em;
      const wrap = isEmphasis && outer.length >= NESTED_EMPHASIS_MAX ? undefined : piece.open;
      outer.push({ wrap, before: content });
      if (wrap) content = [];
    } else {
      const { wrap, before } = outer.pop()!;
      if (wrap) before.push(wrap(content));
      content = before;
    }
  }
  return content;
}
