/**
 * At the end of a run: what the trainer wrote for TensorBoard, from every node that wrote some, on one of them. Only the
 * last rank writes it, so nobody else is asked, and a run that kept its last node has nothing to copy.
 */
import { isCancellation, log, patched, workflowInfo } from '@temporalio/workflow';
import { onNode, peerOf, type Artifact, type NodeInfo, type Peer } from './contract.js';
import { messageOf } from './failure-chain.js';
import { curvesDir } from './plan.js';
import { note, type Run } from './run-generation.js';
import { describeCurves } from './status.js';

interface Part {
  peer: Peer;
  path: string;
  artifact: Artifact;
}

/** That they are not all together is a pity, not a failed run: it says so. */
export async function gatherCurves(run: Run): Promise<void> {
  const dir = curvesDir(run.spec);
  const { writers = [], failures } = run.state;
  if (dir === undefined || writers.length === 0 || !patched('curves are gathered')) return;
  const { members, spares, keepers } = run.crew;
  const known = [...members, ...spares, ...keepers];
  const lost = failures.flatMap(({ cause, culprit }) => (cause === 'node' ? [culprit] : []));
  const isHeld = (name: string) => [...members, ...spares].some((node) => node.name === name);
  const missing: string[] = [];
  const found = async (name: string): Promise<Part[]> => {
    const node = known.find((other) => other.name === name);
    try {
      // To ask one that is not there takes as long as it may be away.
      if (node && (isHeld(name) || !lost.includes(name))) return await partOf(run, node, dir, isHeld(name));
    } catch (error) {
      if (isCancellation(error)) throw error;
      log.warn('the curves of a node were not sealed', { node: name, error: String(error) });
    }
    missing.push(name);
    return [];
  };
  // The one that wrote last has the most, and is the run's still.
  const [first, ...others] = (await Promise.all([...writers].reverse().map(found))).flat();
  if (!first) return;
  const to = onNode(first.peer.name, run.spec.recovery);
  for (const { peer, artifact } of others) {
    try {
      await to.syncFiles({ artifact, from: [peer] });
    } catch (error) {
      if (isCancellation(error)) throw error;
      missing.push(peer.name);
      note(run, `curves of ${peer.name} were not copied to ${first.peer.name}: ${messageOf(error)}`);
    }
  }
  const whole = others.length > 0 ? await to.sealCurves({ dir }) : first;
  const { files, bytes } = whole.artifact ?? first.artifact;
  run.state.curves = {
    ...{ node: first.peer.name, path: first.path, files, bytes },
    ...(missing.length > 0 && { missing: missing.sort() }),
  };
  note(run, `curves for TensorBoard: ${describeCurves(run.state.curves)}`);
}

async function partOf({ spec }: Run, node: NodeInfo, dir: string, isHeld: boolean): Promise<Part[]> {
  const on = onNode(node.name, spec.recovery);
  const admitted = { run: workflowInfo().workflowId, series: spec.series };
  const { access } = isHeld ? node : await on.admitRun(admitted);
  const { path, artifact } = await on.sealCurves({ dir });
  return artifact ? [{ peer: peerOf({ ...node, ...(access !== undefined && { access }) }), path, artifact }] : [];
}
