import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgePings, planPings, type DevicesOfNode, type NodePings } from '../../workflows/device-pings.js';

const nodesOf = (count: number, devices = 2): DevicesOfNode[] =>
  Array.from({ length: count }, (_, at) => ({
    node: `n${at}`,
    addresses: Array.from({ length: devices }, (_device, device) => `10.${device}.0.${at}`),
  }));

/** What comes of a plan where these pairs of nodes do not reach each other. */
const played = (nodes: DevicesOfNode[], isCut: (a: string, b: string) => boolean): NodePings[] =>
  planPings(nodes).map(({ node, pings }) => ({
    ...{ node, asked: pings },
    failed: pings.filter(({ peer }) => isCut(node, peer)).map((ping) => ({ ...ping, said: '100.00% packet loss' })),
  }));

describe('devices of several nodes', () => {
  it('are tried with those of their index, each pair of up to nine nodes once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), (count) => {
        const tried = planPings(nodesOf(count)).flatMap(({ node, pings }) =>
          pings.map(({ peer, device, address }) => {
            expect(address).toBe(`10.${device}.0.${peer.slice(1)}`);
            return `${[node, peer].sort().join('-')} ${device}`;
          }),
        );
        expect(tried).toHaveLength(count * (count - 1));
        expect(new Set(tried).size).toBe(tried.length);
      }),
    );
  });

  it('of a large gang try those of the next four nodes', () => {
    for (const { pings } of planPings(nodesOf(1000, 8))) expect(pings).toHaveLength(32);
  });

  it('without an address are nobody to try, nor do they try anybody', () => {
    const nodes = [...nodesOf(1), { node: 'half', addresses: ['10.0.0.9', null] }, { node: 'none', addresses: [] }];
    expect(planPings(nodes)).toEqual([{ node: 'n0', pings: [{ peer: 'half', device: 0, address: '10.0.0.9' }] }]);
    expect(planPings([])).toEqual([]);
  });

  it('that reach nobody, where others reach each other, are named with their node; whoever they tried is not', () => {
    fc.assert(
      fc.property(fc.integer({ min: 3, max: 40 }), fc.nat(), (count, nat) => {
        const lone = `n${nat % count}`;
        const { bad, links } = judgePings(played(nodesOf(count), (a, b) => a === lone || b === lone));
        expect(bad.map(({ node }) => node)).toEqual([lone]);
        expect(links).toEqual([]);
      }),
    );
  });

  it('of which two do not reach each other leave it open which of them it is', () => {
    const cut = (a: string, b: string) => [a, b].sort().join() === 'n1,n2';
    for (const nodes of [nodesOf(4), nodesOf(5)]) {
      const { bad, links } = judgePings(played(nodes, cut));
      expect(bad).toEqual([]);
      expect(links.map(({ nodes: two }) => [...two].sort())).toEqual([['n1', 'n2']]);
    }
    expect(judgePings(played(nodesOf(2), () => true))).toMatchObject({ bad: [], links: [{ nodes: ['n0', 'n1'] }] });
  });

  it('that all reach each other are nothing to talk about', () => {
    expect(judgePings(played(nodesOf(9), () => false))).toEqual({ bad: [], links: [] });
  });
});
