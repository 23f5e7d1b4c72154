import { expect, test } from "vitest";
import { InputFeed } from "./input-feed.ts";

async function read(feed: InputFeed): Promise<string> {
  let text = "";
  for await (const part of feed) text += Buffer.from(part).toString();
  return text;
}

test("bytes come out once and in order, whatever is repeated; a gap is told", async () => {
  const feed = new InputFeed(0);
  const all = read(feed);
  expect(feed.push(0, Buffer.from("abc"))).toBe(true);
  expect(feed.push(0, Buffer.from("abc"))).toBe(true);
  expect(feed.push(5, Buffer.from("xyz"))).toBe(false);
  expect(feed.push(1, Buffer.from("bcdef"))).toBe(true);
  expect(feed.have).toBe(6);
  feed.end();
  expect(feed.push(6, Buffer.from("late"))).toBe(true);
  expect(await all).toBe("abcdef");
});

test("it goes on where another process of the worker was", async () => {
  const feed = new InputFeed(4);
  expect(feed.push(0, Buffer.from("one two"))).toBe(true);
  feed.end();
  expect(await read(feed)).toBe("two");
});
