/**
 * What several nodes read of a source leaves it once: one node fetches it, and the others have it from that one, or
 * fetch it themselves where that one is lost by then. Who does what when; how is what it is given.
 */
import type { Artifact, NodeInfo, SourceFile } from './contract.js';
import { lostNode, nobodyGave } from './failure-chain.js';
import { storageOf, type Groups } from './islands.js';

export interface FetchOnceOptions {
  /** From outside; finds what is there already. */
  fetch(at: NodeInfo, dir: string, files: SourceFile[]): Promise<Artifact>;
  /** From other nodes, while those `beside` do the same. */
  copy(at: NodeInfo, artifact: Artifact, from: NodeInfo[], beside: NodeInfo[]): Promise<unknown>;
  /** Nodes by the storage that they fetch to. */
  groups: Groups | undefined;
}

interface Fetched {
  artifact?: Artifact;
  /** Nodes that have it. */
  holders: NodeInfo[];
  /** Under way from outside, to one node. */
  fetching?: Promise<Artifact> | undefined;
  /** Nodes that wait for that, one for each storage, and then for each other's blocks. */
  waiting: NodeInfo[];
  beside: NodeInfo[];
  /** By storage: its nodes write there in turn. */
  tails: Map<string, Promise<void>>;
  /** By node: asked for several times it is brought once. */
  brought: Map<string, Promise<void>>;
}

export interface FetchOnce {
  /** Throws what `onFirst` understands: `NodeLost` only of `at` itself. */
  bring(at: NodeInfo, dir: string, files: SourceFile[], lost: ReadonlySet<string>): Promise<void>;
  /** What `at` had is damaged, or gone: it is brought there again, from others if they have it. */
  forget(at: NodeInfo, dir: string): void;
  /** The less, the better a node takes work that reads this: it has it, nobody has, others have. */
  distance(at: NodeInfo, dir: string): 0 | 1 | 2;
}

export function createFetchOnce({ fetch, copy, groups }: FetchOnceOptions): FetchOnce {
  const storage = storageOf(groups);
  const all = new Map<string, Fetched>();
  const stateOf = (dir: string): Fetched => {
    const known = all.get(dir);
    if (known) return known;
    const begun: Fetched = { holders: [], waiting: [], beside: [], tails: new Map(), brought: new Map() };
    all.set(dir, begun);
    return begun;
  };
  const isAt = (at: NodeInfo) => (node: NodeInfo) => storage(node.name) === storage(at.name);

  async function get(at: NodeInfo, dir: string, files: SourceFile[], lost: ReadonlySet<string>): Promise<void> {
    const state = stateOf(dir);
    for (;;) {
      const holders = state.holders.filter(({ name }) => !lost.has(name));
      // It finds there what the other one brought.
      if (holders.some(isAt(at))) await fetch(at, dir, files);
      else if (holders.length > 0) {
        try {
          await copy(at, state.artifact!, holders, state.beside.includes(at) ? state.beside : []);
        } catch (error) {
          // What is wrong with the receiver, as a full disk, says nothing of those that have it.
          if (!nobodyGave(error)) throw error;
          state.holders = state.holders.filter((node) => !holders.includes(node));
          continue;
        }
      } else if (state.fetching) {
        if (!state.waiting.includes(at)) state.waiting.push(at);
        await state.fetching.catch((error: unknown) => {
          if (!lostNode(error)) throw error;
        });
        continue;
      } else {
        state.waiting = state.waiting.filter((node) => node !== at);
        state.fetching = fetch(at, dir, files);
        try {
          state.artifact = await state.fetching;
          [state.beside, state.waiting] = [state.waiting, []];
        } finally {
          state.fetching = undefined;
        }
      }
      state.holders.push(at);
      return;
    }
  }

  return {
    bring(at, dir, files, lost) {
      const { brought, tails } = stateOf(dir);
      const under = brought.get(at.name);
      if (under) return under;
      const on = storage(at.name);
      const work = () => get(at, dir, files, lost);
      const mine = (tails.get(on) ?? Promise.resolve()).then(work, work);
      tails.set(on, mine);
      brought.set(at.name, mine);
      void mine.catch(() => brought.get(at.name) === mine && brought.delete(at.name));
      return mine;
    },
    forget(at, dir) {
      const state = stateOf(dir);
      state.brought.delete(at.name);
      state.holders = state.holders.filter((node) => !isAt(at)(node));
    },
    distance(at, dir) {
      const { brought, holders } = stateOf(dir);
      if (brought.has(at.name) || holders.some(isAt(at))) return 0;
      return brought.size === 0 ? 1 : 2;
    },
  };
}
