/** The values for Temporal's own chart: pinned, on PostgreSQL, and without a secret in them. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { parse } from 'yaml';

interface Store {
  sql: Record<string, string | number>;
}
interface Values {
  server: {
    image: { tag: string };
    config: { persistence: { datastores: Record<string, Store> } & Record<string, string>; namespaces: object };
  };
}

const file = new URL('../../../infra/deploy/helm/temporal-values.yaml', import.meta.url);
const text = readFileSync(file, 'utf8');
const { image, config } = (parse(text) as Values).server;

it('the server has a version, the one that the head of the file names', () => {
  expect(image.tag).toMatch(/^\d+\.\d+\.\d+$/);
  expect(text.split('\n')[0]).toContain(`server ${image.tag}`);
});

it('both stores are on PostgreSQL, in databases of their own, with a password that only a secret has', () => {
  const { defaultStore, visibilityStore, datastores } = config.persistence;
  const stores = [datastores[defaultStore!]!, datastores[visibilityStore!]!].map(({ sql }) => sql);
  expect(stores.map(({ pluginName }) => pluginName)).toEqual(['postgres12', 'postgres12']);
  expect(new Set(stores.map(({ databaseName }) => databaseName)).size).toBe(2);
  for (const sql of stores) {
    expect(sql).not.toHaveProperty('password');
    expect(sql).toMatchObject({ existingSecret: expect.any(String) as string, secretKey: 'password' });
  }
});

it('the namespace that workers use by default is made', () =>
  expect(config.namespaces).toMatchObject({ create: true, namespace: [{ name: 'default' }] }));
