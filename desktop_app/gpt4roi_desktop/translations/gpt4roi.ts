<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1">
<context>
    <name>AnswerTable</name>
    <message>
        <source>Answers side by side</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Stop</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Export …</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Which answers</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>How many are answered</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Stop these questions</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Export these answers</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{0} of {1}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Replay: then and now</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>Answers</name>
    <message>
        <source>Region</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Box</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Answer</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>State</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>First text</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Question</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Answer then</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Answer now</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Same</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>First text then</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>First text now</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>waits</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>answering</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>done</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>stopped</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>failed</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>same</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>different</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{0:.2f} s</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>BoxCommands</name>
    <message>
        <source>draw a box</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>move a box</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>adopt a suggestion</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>duplicate</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>delete</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>lock</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>hide</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>renumber</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>paste</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>adopt the suggestions</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>CameraDialog</name>
    <message>
        <source>Camera</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>State of the camera</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Number of the camera</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Freeze and ask</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Close</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>waiting for the camera …</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{0} by {1} pixels</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>Canvas</name>
    <message>
        <source>Photo with boxes</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Drag to draw a box. Tab chooses the next box, arrows move it, Delete removes it.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Open a photo, drop one here, or paste one</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>Chat</name>
    <message>
        <source>Describe</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>What is it?</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Compare</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Why?</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Draw a box on the photo, then ask about it.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Questions</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>New dialogue</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The next question builds on no earlier one</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>All boxes …</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Ask about all boxes</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>One question about every box, with the answers in a table</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Questions and answers</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;What is it?</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Describe it</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The &amp;question below, box for box</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Ask</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Ask (Enter)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Choose two boxes</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Mention {0}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>No box in this question.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>new dialogue</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>Dialogs</name>
    <message>
        <source>Choose the folder of a model</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>ExchangeView</name>
    <message>
        <source>Question</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Answer</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Stop this answer</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Copy the answer</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Ask again</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Edit the question</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>waits for the model</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>thinking …</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>answering …</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>stopped</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>first text {0:.2f} s</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{0:.0f} tokens/s</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>Files</name>
    <message>
        <source>Open &amp;recent</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>there is no further photo in this folder</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Open a photo</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Photos</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Sessions</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Open a session</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Save the session</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Table of questions (*.csv)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>JSON with everything (*.json)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>JSON, a line a box (*.jsonl)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>COCO captions (*.coco.json)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>labelme (*.labelme.json)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Report (*.md)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Photo with boxes (*.png *.jpg *.webp)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Export</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Table (*.csv)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>JSON (*.json)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Text (*.txt)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Export answers</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>wrote {0}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>there is neither a box nor a photo on the clipboard</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>KeptImagesGroup</name>
    <message>
        <source>Images on disk</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Keep images on disk</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Keep images on disk</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Folder of kept images</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Choose the folder of kept images</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Choose a folder</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Most MiB on disk</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>A photo that was open before is then ready at once. What is kept tells what the photo shows.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Folder</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>At m&amp;ost</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Forget kept images ({0:.1f} MB)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Forget kept images</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Choose a folder for kept images</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>LivePicture</name>
    <message>
        <source>The camera&apos;s picture</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>ModelDialog</name>
    <message>
        <source>Models</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>About the model</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Use this model</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Add a folder …</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Folder</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Size</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Id</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Memory</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Licence: {0}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>It can</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>It cannot</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{0} of {1} free, with a context of {2}: {3}</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>fits</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>does not fit</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>would fit with: {0}</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>NoticeBar</name>
    <message>
        <source>Notice</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Close</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Close the notice</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Restart the model</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Choose a model …</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>Panel</name>
    <message>
        <source>Close</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Close: {0}</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>QuestionBox</name>
    <message>
        <source>Ask about a box: type @, or click one</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Question</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Regions</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Region {0}</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>RegionList</name>
    <message>
        <source>Regions</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>RegionModel</name>
    <message>
        <source>too small to see</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Region {0}, {1} by {2} pixels</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>locked</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>hidden</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>smaller than what the model can tell apart</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>left, top, right, bottom: {0}</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SettingsDialog</name>
    <message>
        <source>Settings</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>as recommended</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>As the system</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Light</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Dark</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>What cannot be</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Window</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Colours</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Engines</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Threads</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Conte&amp;xt, in rows</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Vision engine</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Its &amp;precision</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The model is loaded again when these change.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Answers</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>T&amp;emperature</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Most tokens</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Seed</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>ShortcutEditor</name>
    <message>
        <source>Change the keys</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Use it</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>This key and no other</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Use it &amp;too</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>This key beside those it has</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;No key</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Take its keys away</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Reset</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>The program&apos;s own keys again</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Reset &amp;all</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>What</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Keys</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Actions and their keys</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Press a key</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Press the key here; Tab goes on</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Why not this key</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{0} is always the window&apos;s own. Press another key.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{0} is the key of: {1}. Take it away there first, or press another key.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>ShortcutSheet</name>
    <message>
        <source>Keyboard and mouse</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>On the photo</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Change the keys …</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Drag</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>draw a box, or move a selected one</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Shift+drag</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>draw a square</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Click</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>choose a box; adopt a suggestion</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Ctrl+click</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>choose several</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Tab, Shift+Tab</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>next and previous box</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>choose a box by its number</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Arrows</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>move by 1 pixel, with Shift by 10</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Ctrl+wheel</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>zoom at the cursor</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Space+drag, middle button</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>move the photo</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>in the question: mention a box</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SightPanel</name>
    <message>
        <source>What the model sees</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Size of the model&apos;s input</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Boxes that are too small</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Nothing yet: it needs a photo and a model.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>One moment …</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{0} by {0} pixels, made of {1} by {2}; {3} by {3} cells of features.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Box {0} covers {1:.1f} by {2:.1f} cells.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Smaller than a cell: box {0}. The model can hardly tell what is in it; draw it larger.</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>SightPicture</name>
    <message>
        <source>The model&apos;s input with its grid of features</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>StatusLine</name>
    <message>
        <source>Stage</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Progress</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Speed of the last answer</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Zoom</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Engine</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>loading the model …</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>reading the photo …</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>encoding the photo …</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>ready</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>answering …</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>looking for things …</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>no model</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>the model&apos;s process has ended</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>first text {0:.2f} s</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{0:.0f} tokens/s</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{0:.0f} MB</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>ThemeMenu</name>
    <message>
        <source>&amp;Theme</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;As the system</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Light</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Dark</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>VisionFields</name>
    <message>
        <source>as measured</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>{0} (not installed)</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>as recommended</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>`gpt4roi doctor --tune` measures which is the fastest here; until then it is ONNX Runtime</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>How to install what is missing</source>
        <translation type="unfinished"></translation>
    </message>
</context>
<context>
    <name>Window</name>
    <message>
        <source>Regions</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Drag on the photo to draw a box.</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;File</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Edit</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Boxes</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;View</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Model</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Help</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Open</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Draw</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Suggest boxes</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Tools</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Undo</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Redo</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Open photo …</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Camera …</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Next photo of the folder</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Previous photo of the folder</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Open &amp;session …</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Save session as …</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Export …</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Quit</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Copy</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Paste boxes or photo</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>D&amp;uplicate</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Delete</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Select &amp;all</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Lock or unlock</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Hide or show</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Number one &amp;up</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Number one d&amp;own</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Draw a &amp;box</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Suggest boxes</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Adopt all suggestions</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Zoom &amp;in</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Zoom &amp;out</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Fit</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;100 %</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Go to the &amp;question</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Go to the &amp;photo</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>S&amp;top or deselect</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;New dialogue</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>Ask the question about &amp;every box</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Replay the session</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Choose a model …</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Settings …</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Keyboard and mouse</source>
        <translation type="unfinished"></translation>
    </message>
    <message>
        <source>&amp;Change the keys …</source>
        <translation type="unfinished"></translation>
    </message>
</context>
</TS>
