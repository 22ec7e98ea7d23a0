# Made by cyberlab from a form: the same form always gives the same text.

# Start from a base image of the lab
FROM cyberlab/python

# The folder of your program
WORKDIR /usr/src/app

# Run as the ordinary user "app", never as root
USER 1000:1000

# What runs when a container starts
CMD ["sh", "-c", "echo \"$HOME\" '\\n' && sleep 5", "größe", ""]
