/** Temporal's server of the Java SDK's tests, in whose time nothing waits: a month passes while its events are made. */
import { execFile } from 'node:child_process';
import { chmod, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { errorCode } from '../../../activities/atomic.js';
import { sizeOf } from '../../../activities/artifact.js';
import { root } from '../../../workers/config.js';
import { patiently } from '../scale/fleet.js';

const VERSION = '1.31.0';
const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
  <groupId>bench</groupId><artifactId>month</artifactId><version>1</version><dependencies><dependency>
  <groupId>io.temporal</groupId><artifactId>temporal-test-server</artifactId><version>${VERSION}</version>
  </dependency></dependencies></project>`;

/** From Maven Central, once; needs `java` and `mvn`. */
export async function startTimeSkipping(): Promise<TestWorkflowEnvironment> {
  const dir = join(root, `.cache/temporal-test-server-${VERSION}`);
  const path = join(dir, 'start.sh');
  if ((await sizeOf(path)) === undefined) await fetchServer(dir, path);
  const start = () =>
    TestWorkflowEnvironment.createTimeSkipping({ server: { executable: { type: 'existing-path', path } } });
  // The SDK gives it 5 s, and a virtual machine on a busy one takes more: the next one starts from warm files.
  return patiently(start, 5);
}

async function fetchServer(dir: string, path: string): Promise<void> {
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'pom.xml'), POM);
  try {
    await promisify(execFile)('mvn', ['-q', '-B', 'dependency:copy-dependencies', '-DoutputDirectory=jars'], {
      cwd: dir,
    });
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    throw new Error('bench month needs java and mvn on PATH: its server comes from Maven Central', { cause: error });
  }
  const script = `#!/bin/sh\nexec java -Xmx2g -cp '${dir}/jars/*' io.temporal.testserver.TestServer "$@"\n`;
  await writeFile(`${path}.new`, script);
  await chmod(`${path}.new`, 0o755);
  await rename(`${path}.new`, path);
}
