/**
 * Which nodes have one storage below a directory: what each found there of what all had left, made into groups. Pure.
 * Nodes of one group write one physical file when they write one path, so that nothing is copied between them, and a
 * copy there is none.
 */

/** Directories below the data directory that may be links to storage which nodes share. */
export const ROOTS = ['datasets', 'models', 'series'] as const;
export type Root = (typeof ROOTS)[number];

/** Whose probes a node found in a directory, its own among them; `all` of every node that had left one. */
export type Seen = string[] | 'all';
export type Sees = Record<Root, Seen>;

/** Nodes by the storage that they have in one directory: each in one group, groups and members in the order given. */
export type Groups = string[][];
export type Islands = Record<Root, Groups>;
/** Of the directories that some nodes share and others do not. Where all do, or none, there is nothing to look out for. */
export type PartlyShared = Partial<Islands>;

interface Sight {
  name: string;
  seen: Seen;
}

/** Nodes that do not tell the same of each other, or do not find what they wrote themselves: no storage is like that. */
export interface Inconsistency {
  problem: string;
}

/** @returns groups; or which nodes contradict each other, and what each found */
export function groupsOf(root: Root, sights: Sight[]): Groups | Inconsistency {
  const names = sights.map(({ name }) => name);
  if (sights.every(({ seen }) => seen === 'all')) return [names];
  const found = new Map(sights.map(({ name, seen }) => [name, new Set(seen === 'all' ? names : seen)]));
  const groups: Groups = [];
  const placed = new Set<string>();
  for (const one of names) {
    const mine = found.get(one)!;
    const group = names.filter((name) => mine.has(name));
    const wrong = mine.has(one)
      ? group.map((other) => difference(one, other, group, found)).find((text) => text !== undefined)
      : `${one} does not find what it wrote itself`;
    if (wrong !== undefined) return { problem: `in ${root} ${wrong}` };
    if (!placed.has(one)) groups.push(group);
    for (const name of group) placed.add(name);
  }
  return groups;
}

/** `one` finds `other`, and all of `group`: so does `other`, and nobody else, where they have one storage. */
function difference(one: string, other: string, group: string[], found: Map<string, Set<string>>): string | undefined {
  const theirs = found.get(other)!;
  if (!theirs.has(one)) return `${one} finds what ${other} wrote, and ${other} does not find what ${one} wrote`;
  const lacking = group.find((name) => !theirs.has(name));
  return lacking === undefined
    ? undefined
    : `${one} finds what ${other} and ${lacking} wrote, and ${other} does not find what ${lacking} wrote`;
}

export function islandsOf(nodes: { name: string; sees: Sees }[]): Islands | Inconsistency {
  const islands: Partial<Islands> = {};
  for (const root of ROOTS) {
    const groups = groupsOf(
      root,
      nodes.map(({ name, sees }) => ({ name, seen: sees[root] })),
    );
    if ('problem' in groups) return groups;
    islands[root] = groups;
  }
  return islands as Islands;
}

const isPartly = (groups: Groups): boolean => groups.length > 1 && groups.some(({ length }) => length > 1);

export const partlyShared = (islands: Islands): PartlyShared =>
  Object.fromEntries(ROOTS.filter((root) => isPartly(islands[root])).map((root) => [root, islands[root]]));

/**
 * Nodes by what each calls its storage, in one directory: before they have been asked whose probes they find.
 *
 * @returns nothing where all share it or none do, and where one does not know
 */
export function groupsByName(nodes: { name: string; storage: string | undefined }[]): Groups | undefined {
  if (nodes.some(({ storage }) => storage === undefined)) return undefined;
  const groups = [...new Set(nodes.map(({ storage }) => storage))].map((storage) =>
    nodes.filter((node) => node.storage === storage).map(({ name }) => name),
  );
  return isPartly(groups) ? groups : undefined;
}

/**
 * All groups, with one more node that has come while the others train: also where all share, or none do. One that was there
 * before may have another storage now.
 *
 * @param groups of the others; nothing where none share, and where nobody looked whether all do
 * @param beside those whose probes the newcomer found
 */
export function withNewcomer(groups: Groups | undefined, others: string[], newcomer: Newcomer): Groups {
  const doAll = others.length > 1 && others.every((other) => newcomer.beside.includes(other));
  return joinedBy(newcomer, groups ?? (doAll ? [others] : others.map((other) => [other])));
}

interface Newcomer {
  name: string;
  beside: string[];
}

/** Each node in one group, also where that is one of its own: who shares what is not forgotten when one more comes. */
export function joinedBy({ name, beside }: Newcomer, groups: Groups): Groups {
  const apart = groups.map((group) => group.filter((other) => other !== name)).filter(({ length }) => length > 0);
  const own = apart.find((group) => group.some((other) => beside.includes(other)));
  return own ? apart.map((group) => (group === own ? [...group, name] : group)) : [...apart, [name]];
}

/** Which storage a node has, told by the first node on it. Without groups, and for a node that is in none, its own. */
export function storageOf(groups: Groups = []): (node: string) => string {
  const first = new Map(groups.flatMap((group) => group.map((name) => [name, group[0]!] as const)));
  return (node) => first.get(node) ?? node;
}

/** Groups and names that one line tells of. */
const TOLD = 4;

export const listed = (names: string[]): string =>
  names.length > TOLD ? `${names.slice(0, TOLD).join(', ')} and ${names.length - TOLD} more` : names.join(', ');

/** What was found in one directory, as a person is told. */
export function describeGroups(root: Root, groups: Groups): string {
  const told = groups
    .slice(0, TOLD)
    .map((group) =>
      group.length > 1
        ? `${listed(group)} find what each other wrote${groups.length > 1 ? ', and nothing of others' : ''}`
        : `${group[0]} finds only what it wrote itself`,
    );
  const more = groups.length > TOLD ? `; and ${groups.length - TOLD} more storages` : '';
  return `in ${root} ${told.join('; ')}${more}`;
}

/** As a person is told it on the run's page; nothing where all share or none do. */
export function describePartly(partly: PartlyShared): string | undefined {
  const told = ROOTS.flatMap((root) => (partly[root] ? [describeGroups(root, partly[root])] : []));
  return told.length > 0 ? told.join('. And ') : undefined;
}

/** What the run file says of the storage and the nodes did not find, directory by directory; nothing where it is right. */
export function contradiction(claim: 'auto' | boolean, islands: Islands): string | undefined {
  if (claim === 'auto') return undefined;
  const wrong = ROOTS.filter((root) =>
    claim ? islands[root].length > 1 : islands[root].some(({ length }) => length > 1),
  );
  return wrong.length > 0 ? wrong.map((root) => describeGroups(root, islands[root])).join('. And ') : undefined;
}
