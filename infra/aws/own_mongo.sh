#!/usr/bin/env bash
# Starts a member of the replica set on Amazon Linux 2023. The app replaces the words between @ signs. It is safe to run
# the script again: an existing file system, replica set, and user are kept.
set -euxo pipefail
member=@MEMBER@
names=(@NAMES@)

cat > /etc/yum.repos.d/mongodb.repo <<'REPO'
[mongodb]
name=MongoDB
baseurl=https://repo.mongodb.org/yum/amazon/2023/mongodb-org/8.0/$basearch/
gpgcheck=1
gpgkey=https://pgp.mongodb.com/server-8.0.asc
REPO
dnf install --assumeyes mongodb-org xfsprogs

until [ -e /dev/sdf ]; do sleep 1; done # CloudFormation attaches the volume after the instance has started
blkid /dev/sdf || mkfs.xfs /dev/sdf
grep -q /var/lib/mongo /etc/fstab \
    || echo "UUID=$(blkid --match-tag UUID --output value /dev/sdf) /var/lib/mongo xfs defaults,noatime,nofail 0 2" >> /etc/fstab
mountpoint --quiet /var/lib/mongo || mount /var/lib/mongo
chown mongod:mongod /var/lib/mongo

secret() {
    aws secretsmanager get-secret-value --region @REGION@ --secret-id "$1" --query SecretString --output text
}
set +x # the log has no secrets
install --owner mongod --group mongod --mode 400 /dev/null /etc/mongod.key
secret @KEY@ > /etc/mongod.key
set -x
cat > /etc/mongod.conf <<'CONF'
storage: {dbPath: /var/lib/mongo}
systemLog: {destination: syslog}
net: {bindIpAll: true}
security: {keyFile: /etc/mongod.key}
replication: {replSetName: hub, oplogSizeMB: @OPLOG_MB@}
setParameter: {transactionLifetimeLimitSeconds: 6}
CONF
systemctl enable --now mongod

[ "$member" = 0 ] || exit 0
for name in "${names[@]}"; do
    until (exec 3<> "/dev/tcp/$name/27017") 2> /dev/null; do sleep 2; done
done
set +x
PASSWORD=$(secret @PASSWORD@)
export PASSWORD
mongosh --quiet --eval '
  const names = "'"${names[*]}"'".split(" ");
  const members = names.map((name, n) => ({_id: n, host: `${name}:27017`, priority: n == 0 ? 2 : 1}));
  try { rs.initiate({_id: "hub", members}); } catch (error) { print(error.codeName); }
  while (!db.hello().isWritablePrimary && !db.hello().primary) sleep(1000);
  try {
    db.getSiblingDB("admin").createUser({user: "hub", pwd: process.env.PASSWORD,
      roles: [{role: "readWrite", db: "hub"}, {role: "read", db: "local"}]});
  } catch (error) { print(error.codeName); }
'
