/** Before a launch over several nodes: do their devices reach each other over their own network. */
import { ApplicationFailure } from '@temporalio/workflow';
import { onNode, type FailedPing, type NodeReport, type Timing } from './contract.js';
import { judgePings, planPings } from './device-pings.js';

const REMEDY =
  "Look at the devices' addresses, netmask, gateway and VLAN (hccn_tool -i N -ip -g, -gateway -g) and at the switch ports";

/** Only where nodes told the addresses of their devices. @throws EnvCheckFailed, with the node if it is one's fault */
export async function pingDevices(reports: NodeReport[], timing: Timing): Promise<void> {
  const devices = reports.flatMap(({ name, deviceAddresses: addresses }) =>
    addresses ? [{ node: name, addresses }] : [],
  );
  const results = await Promise.all(
    planPings(devices).map(async ({ node, pings }) => {
      const { failed } = await onNode(node, timing).pingDevices({ pings });
      return { node, asked: pings, failed };
    }),
  );
  const { bad, links } = judgePings(results);
  const found = [
    ...bad.map(
      ({ node, peers, failed }) => `${node}: no device network between it and ${listed(peers)}${saying(failed)}`,
    ),
    ...links.map(({ nodes, failed }) => `no device network between ${nodes.join(' and ')}${saying(failed)}`),
  ];
  if (found.length > 0)
    throw ApplicationFailure.nonRetryable(`${found.join('; ')}. ${REMEDY}`, 'EnvCheckFailed', {
      ...(bad[0] && { node: bad[0].node }),
      found,
    });
}

const SHOWN_PEERS = 4;

const listed = (peers: string[]): string =>
  peers.length > SHOWN_PEERS
    ? `${peers.slice(0, SHOWN_PEERS).join(', ')} and ${peers.length - SHOWN_PEERS} more`
    : peers.join(', ');

const saying = ({ device, address, said }: FailedPing): string => ` (device ${device}, to ${address}: ${said})`;
