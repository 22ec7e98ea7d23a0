# Made by cyberlab from a form: the same form always gives the same text.

# Start from a base image of the lab
FROM cyberlab/python-science

# Debian packages
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      i2c-tools \
      sqlite3 \
 && apt-get clean && rm -rf /var/lib/apt/lists/*

# Python libraries
RUN pip install \
      paho-mqtt \
      'requests<3,>=2'

# The folder of your program
RUN install -d -o 1000 -g 1000 /home/app/project
WORKDIR /home/app/project

# Your own instructions
RUN python3 -c 'import pandas'

# Settings that your program reads from its environment
ENV A="1" \
    B="2"

# Your files; they come late, so that a change in them rebuilds little else
COPY --chown=1000:1000 files/ ./

# Ports that your program listens on
EXPOSE 8080 8081

# Run as the ordinary user "app", never as root
USER 1000:1000

# What runs when a container starts
CMD ["python3", "main.py", "--fast"]
