/** Ids and names: how they are made, what they may be, and which one was probably meant. */
import { randomBytes, randomInt } from 'node:crypto';
import { CatalogError } from './errors';
import { splitImageName } from './schema';

export type Id = string;

const ID = /^[0-9a-f]{64}$/;
const COMPONENT = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const HOST_AND_PORT = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*:[0-9]{1,5}$/;
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}$/;
const LONGEST = 255;

/** 64 hex digits, random. */
export function newId(): Id {
  return randomBytes(32).toString('hex');
}

/** As people see it. */
export function shortId(id: Id): string {
  return id.slice(0, 12);
}

export function isId(text: string): boolean {
  return ID.test(text);
}

/** A name of a layer or container: docker's rule. */
export function checkName(what: string, name: string): void {
  checkLength(what, name);
  if (!COMPONENT.test(name)) {
    throw new CatalogError(
      'bad-request',
      `${quoted(name)} cannot be a ${what}'s name: use letters, digits, "_", "." and "-", with a letter or digit first`,
    );
  }
}

/** A name of an image: [host[:port]/]name[/name…][:tag]. */
export function checkImageName(name: string): { repository: string; tag: string } {
  checkLength('image', name);
  const { repository, tag } = splitImageName(name);
  const [head, ...rest] = repository.split('/');
  const good =
    (COMPONENT.test(head) || (rest.length > 0 && HOST_AND_PORT.test(head))) && rest.every((part) => COMPONENT.test(part)) && TAG.test(tag);
  if (!good) {
    throw new CatalogError(
      'bad-request',
      `${quoted(name)} cannot be an image's name: write NAME, NAME:TAG or REPOSITORY/NAME:TAG of letters, digits, "_", "." and "-"`,
    );
  }
  return { repository, tag };
}

/** "latest" goes without saying. */
export function imageName(repository: string, tag: string): string {
  return tag === 'latest' ? repository : `${repository}:${tag}`;
}

function checkLength(what: string, name: string): void {
  if (name === '') throw new CatalogError('bad-request', `the name of the ${what} is empty: give one`);
  if (name.length > LONGEST)
    throw new CatalogError('bad-request', `the name of the ${what} has ${name.length} characters: ${LONGEST} is the most`);
  if (isId(name)) throw new CatalogError('bad-request', `${name} looks like an id and cannot be the name of the ${what}: choose another`);
}

/** For messages: quoted, control characters escaped, of bearable length. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}…` : text);
}

/** Up to five of `names` that are like `wanted`: a typing mistake or two away, or beginning with it; the likeliest first. */
export function nearNames(wanted: string, names: Iterable<string>): string[] {
  const text = wanted.slice(0, LONGEST).toLowerCase();
  const allowed = Math.max(1, Math.floor(text.length / 3));
  const found: { name: string; distance: number }[] = [];
  for (const name of names) {
    const other = name.toLowerCase();
    const distance = text.length >= 2 && other.startsWith(text) ? 0.5 : editDistance(text, other, allowed);
    if (distance <= allowed) found.push({ name, distance });
  }
  found.sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1));
  return found.slice(0, 5).map(({ name }) => name);
}

/** Insertions, deletions, replacements and exchanges of neighbours (optimal string alignment); anything above `limit` may come back as limit + 1. */
export function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let best = Math.min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, before[j - 2] + 1);
      row.push(best);
    }
    if (Math.min(...row) > limit) return limit + 1;
    before = above;
    above = row;
  }
  return above[b.length];
}

const MANNERS =
  `able amber apt bold brave brisk calm civil clear clever cosy deft eager early fair fine firm fleet fond frank free fresh gentle glad
  grand happy hardy honest keen kind late light lively lucid mellow merry mild neat nimble noble patient plain polite prompt proud quick quiet
  rapid ready serene sharp silent sleek smart snug sober solid spry steady still strong subtle sunny swift tidy tranquil true trusty vivid warm
  wise witty zesty`.split(/\s+/);
const TREES =
  `acacia alder almond apple ash aspen bamboo banyan baobab bay beech birch box cedar cherry chestnut cypress date ebony elder elm fig
  fir ginkgo gum hawthorn hazel hemlock hickory holly ivy jasmine juniper larch laurel lemon lime linden locust magnolia mango maple medlar
  mulberry myrtle oak olive orange osier palm pear pecan pine plane plum poplar quince rowan rubber sequoia spruce sumac sycamore tamarisk teak
  thorn walnut willow yew`.split(/\s+/);

/** A name for a container that was given none: two words that are not in use yet. */
export function inventName(taken: (name: string) => boolean): string {
  for (let attempt = 0; ; attempt++) {
    const name = `${MANNERS[randomInt(MANNERS.length)]}_${TREES[randomInt(TREES.length)]}${attempt < 20 ? '' : randomInt(1_000_000)}`;
    if (!taken(name)) return name;
  }
}
