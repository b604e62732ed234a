/** A run under observation: what its page says, which activities are in flight, who has which part in it. */
import type { WorkflowHandle } from '@temporalio/client';
import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pause } from '../../activities/process.js';
import { replicated } from '../../workflows/messages.js';
import type { Cluster } from './cluster.js';
import type { Recorder } from './recorder.js';

/** PENDING_ACTIVITY_STATE_STARTED of Temporal's API. */
const STARTED = 2;
const PAGE_WITHIN_MS = 2000;

/** Whom a fault strikes: the node of rank 0, of the last rank, a spare, a node that is not in the run; or the control host. */
export type Role = 'first' | 'last' | 'spare' | 'second spare' | 'free' | 'control';

export interface Page {
  phase: string;
  generation: number;
  nodes: string[];
  spares: string[];
}

export interface ObservedRun {
  id: string;
  series: string;
  handle: WorkflowHandle;
  recorder: Recorder;
  /** The page as it is; the last one that was read while nobody answers. */
  page(): Promise<Page>;
  /** Name of the node that has this part now. */
  nodeOf(role: Exclude<Role, 'control'>): Promise<string>;
  /** Nodes on which an activity of this type has started and not ended. */
  inFlight(type: string): Promise<string[]>;
  /** Whether a save of this iteration has begun and rank 0 has not yet called it complete. */
  isSaving(iteration: number): Promise<boolean>;
  /** Newest iteration that is complete and copied: the generation's own word, of which the page hears later. */
  copied(): Promise<number>;
}

export function observe(
  cluster: Cluster,
  run: { id: string; series: string; handle: WorkflowHandle; recorder: Recorder },
): ObservedRun {
  let last: Page = { phase: 'nodes', generation: 0, nodes: [], spares: [] };
  const { id, series, handle, recorder } = run;
  const checkpoints = (node: string) => join(cluster.nodes.get(node)!.host.data, 'series', series, 'checkpoints');

  const observed: ObservedRun = {
    ...run,
    async page() {
      const asked = handle.query<string>('status').then(parsePage, () => last);
      // While the server is away the client tries for minutes, and whatever is to be hurt next has its time.
      last = await Promise.race([asked, pause(PAGE_WITHIN_MS).then(() => last)]);
      return last;
    },
    async nodeOf(role) {
      const { nodes, spares } = await observed.page();
      const free = [...cluster.nodes.keys()].filter((name) => ![...nodes, ...spares].includes(name));
      const found = { first: nodes[0], last: nodes.at(-1), spare: spares[0], 'second spare': spares[1], free: free[0] };
      const node = found[role];
      if (node === undefined)
        throw new Error(`no node of ${id} is "${role}": nodes ${nodes.join()}, spares ${spares.join()}`);
      return node;
    },
    async inFlight(type) {
      const generations = [recorder.generation(), recorder.generation() + 1];
      const ids = [id, `${id}/data`, ...generations.flatMap((n) => [`${id}/prepare-${n}`, `${id}/gen-${n}`])];
      const pending = await Promise.all(
        ids.map((workflowId) =>
          cluster.client.workflow
            .getHandle(workflowId)
            .describe()
            .then(({ raw }) => raw.pendingActivities ?? [])
            .catch(() => []),
        ),
      );
      return pending
        .flat()
        .filter(({ activityType, state }) => activityType?.name === type && Number(state) === STARTED)
        .flatMap(({ lastWorkerIdentity }) => lastWorkerIdentity?.split('@')[0] ?? []);
    },
    async isSaving(iteration) {
      const name = `iter_${String(iteration).padStart(7, '0')}`;
      const { nodes } = last.nodes.length > 0 ? last : await observed.page();
      const begun = await Promise.all(nodes.map((node) => isThere(join(checkpoints(node), name))));
      if (!begun.includes(true)) return false;
      const tracker = join(checkpoints(nodes[0]!), 'latest_checkpointed_iteration.txt');
      return Number(await readFile(tracker, 'utf8').catch(() => '0')) < iteration;
    },
    copied: () =>
      cluster.client.workflow
        .getHandle(`${id}/gen-${recorder.generation()}`)
        .query(replicated)
        .catch(() => 0),
  };
  return observed;
}

/** The page is for people, and this is the one place that reads it as a machine. */
export function parsePage(text: string): Page {
  const [head = ''] = text.split('\n', 1);
  const crew = /^generation (\d+)\b.* · nodes (.+) · spares (.+)$/m.exec(text);
  const list = (names = 'none'): string[] => (names === 'none' ? [] : names.split(', '));
  return {
    phase: head.split(' · ')[2] ?? '',
    generation: Number(crew?.[1] ?? 0),
    nodes: list(crew?.[2]),
    spares: list(crew?.[3]),
  };
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
