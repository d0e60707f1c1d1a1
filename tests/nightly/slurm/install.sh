#!/bin/sh
# Installs what tests/nightly/slurm starts: Slurm's daemons, its authentication, and a database for its accounting. Needs
# root and Debian's packages.
set -e
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends slurmctld slurmd slurm-client munge \
  slurmdbd mariadb-server
