/** Collectives between the nodes of a gang before its launch, in pairs: names who fails, or holds the others up. */
import { ApplicationFailure } from '@temporalio/workflow';
import { onNode, type NodeInfo, type NodeReport } from './contract.js';
import { failureIn, lostNode, messageOf } from './failure-chain.js';
import { launchEnvironment } from './launch-environment.js';
import { judgePairs, nextPairs, type Blamed, type Pair, type PairResult } from './pair-nodes.js';
import { torchrunArgs } from './plan.js';
import type { RunSpec } from './spec.js';

/** Of one test: nodes start together, with nothing to prepare. */
const LIMIT_SECONDS = 180;
/** HCCL's shortest, which it takes 20 s longer than; a launch waits much longer, for the slowest node's index. */
const ENVIRONMENT = { HCCL_CONNECT_TIMEOUT: '120', HCCL_EXEC_TIMEOUT: '120', HCCL_EVENT_TIMEOUT: '130' };

export interface PairTest {
  spec: RunSpec;
  /** Of the launch that is prepared. */
  token: number;
  nodes: NodeInfo[];
  /** Of all of them. */
  reports: NodeReport[];
}

/** Those that were proven within the hour are not tried again, but for the sake of others. @throws EnvCheckFailed */
export async function testPairs(test: PairTest, note: (text: string) => Promise<void>): Promise<void> {
  const { nodes, reports } = test;
  const proven = reports.flatMap(({ name, collectivesProven }) => (collectivesProven ? [name] : []));
  const names = nodes.map(({ name }) => name);
  const results: PairResult[] = [];
  for (;;) {
    const pairs = nextPairs(names, proven, results);
    if (pairs.length === 0) break;
    results.push(...(await Promise.all(pairs.map((pair) => tryPair(test, pair)))));
  }
  const { bad, slow, links, undecided } = judgePairs(names, proven, results);
  for (const blamed of slow) await note(`${describe(blamed, 'are slow')}: it holds the others up`);
  for (const { nodes: two, why } of links)
    await note(`collectives between ${two.join(' and ')} do not do well, though both do with others: ${why}`);
  if (bad.length > 0)
    throw ApplicationFailure.nonRetryable(
      `${bad.map((blamed) => describe(blamed, 'fail')).join('; ')}. Look at its network interface, cables and devices, and cordon it until that is mended`,
      'EnvCheckFailed',
      { node: bad[0]!.node, bad },
    );
  if (undecided.length > 0)
    throw ApplicationFailure.nonRetryable(
      `collectives fail between ${undecided.map(({ node }) => node).join(', ')}, and no other node is known to be good that could tell whose fault it is: ${undecided[0]!.why}`,
      'EnvCheckFailed',
      { undecided },
    );
}

const describe = ({ node, partners, why }: Blamed, how: string): string =>
  `${node}: collectives with ${partners.join(' and ')} ${how} (${why}), which do well with others`;

/** Of both sides: one that waited until its time was over knows least. */
function telling(failed: Error[]): string {
  const said = failed.map((error) => messageOf(error));
  return said.find((text) => !text.includes('did not end within')) ?? said[0]!;
}

async function tryPair({ spec, token, nodes, reports }: PairTest, pair: Pair): Promise<PairResult> {
  const [first, second] = pair.map((name) => nodes.find((node) => node.name === name)!) as [NodeInfo, NodeInfo];
  const port = reports.find(({ name }) => name === first.name)!.freePort;
  const env = { ...launchEnvironment(spec), ...ENVIRONMENT };
  const ask = (node: NodeInfo, peer: string, rank: number) =>
    onNode(node.name, spec.recovery).testPair({
      ...{ peer, token, env, limitSeconds: LIMIT_SECONDS },
      torchrun: torchrunArgs(rank, [first, second], spec.cluster.devicesPerNode, port),
    });
  const answers = await Promise.allSettled([ask(first, second.name, 0), ask(second, first.name, 1)]);
  const failed = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason as Error] : []));
  // What is no failed test is not for here: a node that is lost, or a run that is cancelled.
  const other = failed.find((error) => lostNode(error) !== undefined || failureIn(error) === undefined);
  if (other !== undefined) throw other;
  if (failed.length > 0) return { nodes: pair, error: telling(failed) };
  const seconds = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value.seconds] : []));
  return { nodes: pair, seconds: Math.max(...seconds) };
}
