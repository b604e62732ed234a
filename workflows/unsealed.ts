/** Saves that nobody has sealed: which of them are proven to be whole. Pure: what nodes found in, decisions out. */
import { newestComplete, type NodeListing } from './checkpoints.js';
import type { SavesFound } from './contract.js';

/** What one node holds, and what its last launch left there. */
export interface NodeSaves extends NodeListing {
  saves?: SavesFound;
}

export interface Sealable {
  iteration: number;
  /** Of the launch that saved it. */
  token: number;
  /** Names of the nodes that have parts of it to seal. */
  nodes: string[];
  /** Of a checkpoint that a failing gang made: what each of them has, which may be what another node saves otherwise. */
  dumped?: Record<string, string[]>;
}

/**
 * Iterations that would be complete, newer than what is, if some nodes sealed what they have of them; newest first.
 * That a launch ended the save of an iteration is known from the tracker of its rank 0, and from any shard that was
 * sealed: it was by one who had looked there.
 */
export function sealable(found: NodeSaves[], shards: string[]): Sealable[] {
  const done = newestComplete(found, shards)?.iteration ?? 0;
  const launches = found.flatMap(({ peer, saves }) => (saves?.launch ? [{ ...saves.launch, node: peer.name }] : []));
  const candidates: Sealable[] = [];
  for (const token of new Set(launches.map((launch) => launch.token))) {
    const own = launches.filter((launch) => launch.token === token && !launch.restarted);
    const sealed = found.flatMap(({ checkpoints }) =>
      checkpoints.flatMap(({ iteration, shards: there }) =>
        there.filter((held) => held.token === token).map(({ shard }) => ({ iteration, shard })),
      ),
    );
    const tracked = launches.flatMap((launch) => (launch.token === token ? (launch.tracked ?? []) : []));
    const isRight = sealed.length > 0 || own.some(({ beganRight }) => beganRight);
    candidates.push(...lastGasps(token, isRight ? own : [], done, shards));
    const ended = Math.max(0, ...tracked, ...sealed.map(({ iteration }) => iteration));
    const iterations = new Set(own.flatMap(({ unsealed }) => unsealed.map(({ iteration }) => iteration)));
    for (const iteration of [...iterations].filter((it) => it > done && it <= ended)) {
      const there = own.flatMap(({ node, unsealed }) =>
        unsealed.filter((one) => one.iteration === iteration).map((one) => ({ node, shards: one.shards })),
      );
      const had = [...sealed.filter((one) => one.iteration === iteration).map(({ shard }) => shard)];
      const all = new Set([...had, ...there.flatMap((one) => one.shards)]);
      if (shards.every((shard) => all.has(shard)))
        candidates.push({ iteration, token, nodes: there.map(({ node }) => node) });
    }
  }
  return candidates.sort((a, b) => b.iteration - a.iteration || b.token - a.token);
}

type Left = NonNullable<SavesFound['launch']> & { node: string };

/**
 * Checkpoints that a failing gang made. That all was written is known from the node whose rank gave its own the usual
 * name; that it was no other save, from that node where it is not rank 0's, and from unnamed parts of others.
 */
function lastGasps(token: number, launches: Left[], done: number, shards: string[]): Sealable[] {
  const dumps = launches.flatMap(({ node, dumped = [] }) => dumped.map((one) => ({ node, ...one })));
  const certain = dumps.filter(({ isNamed, isCertain }) => !isNamed || isCertain).map(({ iteration }) => iteration);
  return [...new Set(certain)].flatMap((iteration) => {
    const there = dumps.filter((one) => one.iteration === iteration && one.shards.length > 0);
    const all = new Set(there.flatMap((one) => one.shards));
    if (iteration <= done || !there.some(({ isNamed }) => isNamed) || !shards.every((shard) => all.has(shard)))
      return [];
    const dumped = Object.fromEntries(there.map((one) => [one.node, one.shards]));
    return [{ iteration, token, nodes: Object.keys(dumped), dumped }];
  });
}

/** What of these nodes goes out of sight when an iteration is restored, as a person is told; at most a few. */
export function setAside(found: NodeSaves[], restored: number): string | undefined {
  const held = found.flatMap(({ peer, saves }) =>
    (saves?.iterations ?? []).map((iteration) => ({ iteration, node: peer.name })),
  );
  const newer = [...new Set(held.map(({ iteration }) => iteration))]
    .filter((it) => it > restored)
    .sort((a, b) => b - a);
  if (newer.length === 0) return undefined;
  const [newest] = newer;
  const on = held.filter(({ iteration }) => iteration === newest).map(({ node }) => node);
  const restarted = found.filter(({ saves }) => saves?.launch?.restarted).map(({ peer }) => peer.name);
  const older = newer.length === 1 ? '' : ` (and ${newer.length - 1} older)`;
  const why =
    restarted.length > 0 ? `; the machine of ${restarted.join(', ')} restarted before what it saved was proven` : '';
  return `iteration ${newest}${older} on ${on.join(', ')} is set aside: not all of its parts are here and proven${why}`;
}
