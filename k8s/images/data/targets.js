// Writes the pods that Prometheus scrapes to the file in argv, as file_sd reads it: Debian's Prometheus is built without
// discovery by Kubernetes. Every pod of the project that runs, on the port that is named http.
const fs = require('fs'), https = require('https');
const file = process.argv[2];
const account = '/var/run/secrets/kubernetes.io/serviceaccount';
const every = 5000;

function write() {
  const request = https.get({
    host: process.env.KUBERNETES_SERVICE_HOST,
    port: process.env.KUBERNETES_SERVICE_PORT,
    path: '/api/v1/pods?labelSelector=' + encodeURIComponent('app.kubernetes.io/part-of=local-plus'),
    ca: fs.readFileSync(`${account}/ca.crt`),
    headers: { authorization: `Bearer ${fs.readFileSync(`${account}/token`, 'utf8')}` },
    timeout: 4000,
  }, (answer) => {
    let text = '';
    answer.on('data', (part) => { text += part; });
    answer.on('end', () => {
      if (answer.statusCode !== 200) return console.error(`pods cannot be listed: ${answer.statusCode} ${text}`);
      const groups = [];
      for (const { metadata, spec, status } of JSON.parse(text).items) {
        if (!metadata.namespace.startsWith('localplus-') || status.phase !== 'Running' || !status.podIP) continue;
        const port = spec.containers.flatMap((c) => c.ports || []).find((p) => p.name === 'http');
        if (!port) continue;
        const labels = { namespace: metadata.namespace, pod: metadata.name, service: metadata.labels['app.kubernetes.io/name'] || '' };
        groups.push({ targets: [`${status.podIP}:${port.containerPort}`], labels });
      }
      fs.writeFileSync(`${file}.making`, JSON.stringify(groups));
      fs.renameSync(`${file}.making`, file);
    });
  });
  request.on('timeout', () => request.destroy(new Error('no answer')));
  request.on('error', (error) => console.error(`pods cannot be listed: ${error.message}`));
}
write();
setInterval(write, every);
